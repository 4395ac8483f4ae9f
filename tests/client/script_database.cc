#include "tests/client/script_database.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "common/record/json.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/export_file.h"
#include "common/records_db/lost_json.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

class Writer {
 public:
  Writer(const FakeScript& script, const std::string& path) : script_(script) {
    auto database = OpenForWriting(path, {});
    EXPECT_TRUE(database.ok()) << database.status();
    if (database.ok()) database_ = *std::move(database);
  }

  void Write() {
    if (database_ == nullptr) return;
    const absl::Status status =
        InTransaction(*database_, TransactionKind::kWrite, [this] {
          AddRun();
          for (const Event& event : script_.events) Add(event);
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
  }

 private:
  template <typename... Args>
  void Run(const char* sql, const Args&... args) {
    const absl::Status status = database_->Run(sql, args...);
    EXPECT_TRUE(status.ok()) << status << ": " << sql;
  }

  void AddRun() {
    const RunInfo& run = script_.run;
    Run("INSERT INTO runs VALUES (1, ?1, ?1, '', ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
        "?9, ?10, NULL, ?11, 0, NULL)",
        run.run_id, RunStateName(run.state), ConfigToJson(run.config).dump(),
        ProvenanceToJson(run.provenance).dump(), run.complete,
        run.samples_submitted, run.samples_done, run.samples_failed,
        run.last_sequence, absl::ToUnixMicros(run.create_time), run.owner);
  }

  // The key of an event's sample, which is made where it is new.
  int64_t SampleOf(const Event& event) {
    const auto [it, is_new] = samples_.try_emplace(
        event.sample_id, static_cast<int64_t>(samples_.size()) + 1);
    if (is_new) {
      Run("INSERT INTO samples (id, run, ordinal, sample_id, state, "
          "submitted_us) VALUES (?1, 1, ?1, ?2, 'running', 0)",
          it->second, event.sample_id);
      const nlohmann::json input = {{"_id", event.sample_id},
                                    {"input", QuestionOf(event.sample_id)},
                                    {"context", "context"},
                                    {"answers", {"answer"}}};
      Run("INSERT INTO sample_inputs VALUES (?1, ?2)", it->second,
          input.dump());
    }
    Run("UPDATE samples SET attempt = ?2, recorded_attempt = ?2 WHERE id = ?1",
        it->second, event.attempt);
    return it->second;
  }

  void Add(const Event& event) {
    if (const auto* step = std::get_if<StepRecord>(&event.body))
      return AddStep(event, *step);
    std::optional<int64_t> sample;
    if (!std::holds_alternative<RunEnd>(event.body)) sample = SampleOf(event);
    Run("INSERT INTO sample_events VALUES (1, ?1, ?2, ?3, ?4, ?5)",
        event.sequence, EventKind(event.body), sample, event.attempt,
        EventDetailToJson(event.body));
    if (std::holds_alternative<SampleResult>(event.body))
      Run("UPDATE samples SET state = 'done' WHERE id = ?1", *sample);
    if (std::holds_alternative<SampleFailure>(event.body))
      Run("UPDATE samples SET state = 'failed' WHERE id = ?1", *sample);
  }

  void AddStep(const Event& event, const StepRecord& step) {
    Run("INSERT INTO steps VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
        "?11, ?12, ?13)",
        event.sequence, SampleOf(event), event.attempt, step.step, step.n,
        step.token_id, step.token, step.entropy, step.logprob, step.p_max,
        step.margin, step.attention_entropy, step.attention_entropy_std);
    int64_t lane = 0;
    for (const RecallRecord& r : step.recalls) {
      std::optional<std::string> lost;
      if (!r.lost.empty()) lost = LostToJson(r.lost);
      std::optional<Blob> layers;
      if (!r.layer_recalls.empty())
        layers = Blob{{reinterpret_cast<const char*>(r.layer_recalls.data()),
                       r.layer_recalls.size() * sizeof(float)}};
      Run("INSERT INTO step_recalls VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
          "?9, ?10, ?11, ?12, ?13)",
          event.sequence, lane++, r.k, r.recall, r.chance, r.lift, r.mass,
          r.mass_ratio, layers, r.recall_without_free_hits, r.drift,
          r.fetched_back, lost);
    }
    int64_t number = 0;
    for (const GapRecord& g : step.gaps)
      Run("INSERT INTO step_gaps VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)",
          event.sequence, number++, g.kl, g.entropy_change, g.logprob_change,
          g.token_id, g.top1_agrees);
  }

  const FakeScript& script_;
  std::unique_ptr<Database> database_;
  std::map<std::string, int64_t> samples_;  // keys by id
};

}  // namespace

std::string QuestionOf(const std::string& id) {
  return "Question of " + id + "? </script><b>&amp;";
}

void WriteDatabase(const FakeScript& script, const std::string& path) {
  const TempDir folder;
  const std::string all = folder.File("all.db");
  Writer(script, all).Write();
  const absl::Status status = WriteRunFile(all, script.run.run_id, path);
  EXPECT_TRUE(status.ok()) << status;
}

std::string DatabaseBytes(const FakeScript& script) {
  const TempDir folder;
  const std::string path = folder.File("run.db");
  WriteDatabase(script, path);
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace kvrecall
