#include "tests/common/records_db/study_database.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "common/record/json.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/records_digest.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

constexpr int kSteps = 3;

class StudyWriter {
 public:
  explicit StudyWriter(const std::string& path) {
    auto database = OpenForWriting(path, {});
    EXPECT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    Run("BEGIN");
    Run("INSERT INTO epochs VALUES (1, 5)");
  }
  ~StudyWriter() { Run("COMMIT"); }
  StudyWriter(const StudyWriter&) = delete;
  StudyWriter& operator=(const StudyWriter&) = delete;

  void Add(StudyRun run) {
    ++run_;
    sequence_ = 0;
    RunInfo& info = run.info;
    int64_t lane = 0;
    for (const Lane& l : Lanes(info.config))
      Run("INSERT INTO lanes VALUES (?1, ?2, ?3, ?4, ?5, 'current_ratio', ?6)",
          run_, lane++, info.config.policies[l.policy].ToString(),
          ScopeName(info.config.scopes[l.scope]),
          info.config.budgets[l.budget].ToString(),
          info.config.budgets[l.budget].value);
    int64_t gap = 0;
    for (const GapSpec& g : info.config.gaps)
      Run("INSERT INTO gap_lanes VALUES (?1, ?2, ?3, 'only_pred', 'h2o', ?4, "
          "?5, 'current_ratio', ?6)",
          run_, gap++, g.ToString(), ScopeName(g.scope), g.budget.ToString(),
          g.budget.value);
    info.samples_submitted = std::ssize(run.samples);
    for (const StudySample& sample : run.samples) {
      AddSample(info, sample);
      info.samples_done += sample.state == SampleState::kDone;
      info.samples_failed += sample.state == SampleState::kFailed;
    }
    if (IsTerminal(info.state))
      AddEvent(std::nullopt, 1,
               RunEnd{info.state, info.samples_done, info.samples_failed});
    Run("INSERT INTO runs VALUES (?1, ?2, ?3, 'digest', ?4, ?5, ?6, ?7, ?8, "
        "?9, ?10, ?11, ?12, ?13, ?14, 1, ?15)",
        run_, info.run_id, absl::StrCat("request of ", info.run_id),
        RunStateName(info.state), ConfigToJson(info.config).dump(),
        ProvenanceToJson(info.provenance).dump(), IsTerminal(info.state),
        info.samples_submitted, info.samples_done, info.samples_failed,
        sequence_, absl::ToUnixMicros(info.create_time),
        info.end_time ? std::optional(absl::ToUnixMicros(*info.end_time))
                      : std::nullopt,
        info.owner, 1'000'000'000);
  }

 private:
  template <typename... Args>
  void Run(const char* sql, const Args&... args) {
    const absl::Status status = database_->Run(sql, args...);
    EXPECT_TRUE(status.ok()) << status << ": " << sql;
  }

  double Real() {
    return std::uniform_real_distribution<double>(0, 1)(random_);
  }

  void AddSample(const RunInfo& info, const StudySample& sample) {
    ++sample_;
    const bool has_ended = sample.state != SampleState::kQueued &&
                           sample.state != SampleState::kRunning;
    const int64_t attempts =
        sample.state == SampleState::kQueued ? 0 : sample.attempts;
    const nlohmann::json input = {
        {"_id", sample.id},
        {"input", sample.text.empty() ? "About " + sample.id : sample.text},
        {"context", ""},
        {"answers", {"x"}}};
    Run("INSERT INTO samples (id, run, ordinal, sample_id, state, attempt, "
        "recorded_attempt, epoch, submitted_us, leased_us, ended_us, crashes, "
        "owner, cost, record_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, ?7, "
        "?8, ?9, ?10, ?11, 99, ?12)",
        sample_, run_, sample.ordinal, sample.id, SampleStateName(sample.state),
        attempts, sample_ * 10, sample_ * 10 + 1,
        has_ended ? std::optional(sample_ * 10 + 2) : std::nullopt,
        std::max<int64_t>(0, attempts - 1), info.owner,
        Sha256Hex("key of " + sample.id));
    Run("INSERT INTO sample_inputs VALUES (?1, ?2)", sample_, input.dump());
    for (int64_t attempt = 1; attempt <= attempts; ++attempt) {
      random_.seed(static_cast<unsigned>(std::hash<std::string>()(
          absl::StrCat(sample.id, "|", sample.computer))));
      AddAttempt(info, sample, attempt, attempt == attempts);
    }
  }

  void AddAttempt(const RunInfo& info, const StudySample& sample,
                  int64_t attempt, bool is_last) {
    const SampleStart start{
        .prompt_tokens = 5,
        .raw_prompt_tokens = 7,
        .truncated = true,
        .queue_seconds = static_cast<double>(sample_) / 8,
        .length = 3,
        .reused_from = sample.is_reused ? "another run" : ""};
    AddEvent(sample_, attempt, start);
    Run("UPDATE samples SET prompt_tokens = 5, raw_prompt_tokens = 7, "
        "truncated = 1, queue_seconds = ?2, length = 3, "
        "reused_from = nullif(?3, '') WHERE id = ?1",
        sample_, start.queue_seconds, start.reused_from);
    for (int64_t step = 1; step <= (is_last ? kSteps : 1); ++step)
      AddStep(info, attempt, step);
    if (!is_last) return;
    if (sample.state == SampleState::kDone) AddResult(attempt);
    if (sample.state != SampleState::kFailed) return;
    AddEvent(sample_, attempt, SampleFailure{"OUT_OF_MEMORY", "too long"});
    Run("UPDATE samples SET error_reason = 'OUT_OF_MEMORY', "
        "error_message = 'too long' WHERE id = ?1",
        sample_);
  }

  void AddResult(int64_t attempt) {
    SampleResult result;
    result.generated_tokens = kSteps;
    result.text = "tøk";
    result.score = Real();
    result.gap_scores = {Real(), Real()};
    result.finish_reason = FinishReason::kEos;
    result.prefill_seconds = static_cast<double>(sample_);
    result.decode_seconds = static_cast<double>(sample_) * 2;
    AddEvent(sample_, attempt, result);
    Run("UPDATE samples SET generated_tokens = ?2, text = ?3, score = ?4, "
        "finish_reason = 'eos', prefill_seconds = ?5, decode_seconds = ?6, "
        "gap_scores = ?7 WHERE id = ?1",
        sample_, result.generated_tokens, result.text, *result.score,
        result.prefill_seconds, result.decode_seconds,
        NumbersToJson(result.gap_scores));
  }

  void AddStep(const RunInfo& info, int64_t attempt, int64_t step) {
    ++sequence_;
    Run("INSERT INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6, 42, ' x', ?7, ?8, "
        "0.5, 0.25, ?9, 0.125)",
        run_, sequence_, sample_, attempt, step, 4 + step, Real(), -Real(),
        Real());
    const float layers[] = {0.5f, static_cast<float>(Real())};
    for (size_t lane = 0; lane < Lanes(info.config).size(); ++lane)
      Run("INSERT INTO step_recalls VALUES (?1, ?2, ?3, 2, ?4, 0.25, ?5, ?6, "
          "?7, ?8, ?9, ?10, 1.5, ?11)",
          run_, sequence_, static_cast<int64_t>(lane), Real(), Real(), Real(),
          Real(), Blob{{reinterpret_cast<const char*>(layers), sizeof(layers)}},
          Real(), Real(), "[[3,0.5,\" a\"]]");
    for (size_t gap = 0; gap < info.config.gaps.size(); ++gap)
      Run("INSERT INTO step_gaps VALUES (?1, ?2, ?3, ?4, ?5, ?6, 42, 1)", run_,
          sequence_, static_cast<int64_t>(gap), Real(), Real(), -Real());
  }

  void AddEvent(std::optional<int64_t> sample, int64_t attempt,
                const EventBody& body) {
    Run("INSERT INTO sample_events VALUES (?1, ?2, ?3, ?4, ?5, ?6)", run_,
        ++sequence_, EventKind(body), sample, attempt, EventDetailToJson(body));
  }

  std::unique_ptr<Database> database_;
  std::mt19937 random_;
  int64_t run_ = 0, sample_ = 0, sequence_ = 0;
};

}  // namespace

StudyRun MakeStudyRun(const std::string& name,
                      const std::vector<int64_t>& ordinals, int64_t seconds) {
  StudyRun run;
  RunInfo& info = run.info;
  info.run_id = "run-" + name;
  info.owner = "ada";
  info.state = RunState::kSucceeded;
  info.config.task = "demo";
  info.config.policies = {{"h2o", {}}, {"random", {{"seed", 7}}}};
  info.config.scopes = {Scope::kGlobal, Scope::kLayer};
  info.config.budgets = {{Budget::Kind::kCurrentRatio, 0.2}};
  info.config.gaps =
      *ParseGapSpecs("only_pred(h2o,0.2),only_pred(h2o,0.2,layer)");
  info.provenance.model = "nano on " + name;
  info.provenance.model_digest = "abc";
  info.provenance.threads = 2;
  info.create_time = absl::FromUnixSeconds(seconds);
  info.end_time = absl::FromUnixSeconds(seconds + 60);
  for (const int64_t ordinal : ordinals)
    run.samples.push_back(
        {.id = absl::StrCat("s", ordinal), .ordinal = ordinal});
  return run;
}

void WriteStudy(const std::string& path, std::vector<StudyRun> runs) {
  StudyWriter writer(path);
  for (StudyRun& run : runs) writer.Add(std::move(run));
}

std::vector<std::string> RecordsOf(const std::string& path,
                                   const std::string& run_id) {
  std::vector<std::string> lines;
  auto reader = RecordsReader::Open(path);
  EXPECT_TRUE(reader.ok()) << reader.status();
  if (!reader.ok()) return lines;
  const auto run = (*reader)->GetRun(run_id);
  EXPECT_TRUE(run.ok()) << run.status();
  if (!run.ok()) return lines;
  const auto samples = (*reader)->ListSamples(run_id, 0, 1'000'000);
  EXPECT_TRUE(samples.ok()) << samples.status();
  std::map<std::string, int64_t> attempts;
  for (const SampleInfo& sample : *samples)
    attempts[sample.sample_id] = sample.attempt;
  const auto events =
      (*reader)->ReadAfter(run_id, 0, static_cast<int>(run->last_sequence) + 1);
  EXPECT_TRUE(events.ok()) << events.status();
  if (!events.ok()) return lines;
  for (const Event& event : *events) {
    if (event.sample_id.empty() || event.attempt != attempts[event.sample_id])
      continue;
    RecordsDigest digest;
    digest.Add(event);
    lines.push_back(absl::StrCat(event.sample_id, ": ", EventKind(event.body),
                                 " ", digest.HexDigest()));
  }
  return lines;
}

}  // namespace kvrecall
