#include "tests/fuzz/small_database.h"

#include <set>

#include "absl/strings/str_replace.h"

#include "common/record/json.h"
#include "common/records_db/schema_sql.h"
#include "proto/convert/record_convert.h"
#include "proto/convert/run_convert.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"

namespace kvrecall {
namespace {

constexpr int kPage = 4;

constexpr char kRows[] = R"sql(
INSERT INTO epochs VALUES (1, 5);
INSERT INTO samples (id, run, ordinal, sample_id, state, attempt,
  recorded_attempt, epoch, submitted_us, leased_us, ended_us, prompt_tokens,
  raw_prompt_tokens, truncated, queue_seconds, generated_tokens, text, score,
  finish_reason, prefill_seconds, decode_seconds, error_reason, error_message,
  gap_scores, length, crashes) VALUES
  (1, 1, 1, 's', 'done', 1, 1, 1, 6, 7, 8, 5, 6, 1, 0.25, 1, 'x', 0.5, 'eos', 1,
   2, NULL, NULL, '[0.5,0.25]', 7, 0),
  (2, 1, 2, 't', 'failed', 1, 1, 1, 6, 7, 8, 5, 6, 0, 0.25, NULL, NULL, NULL,
   NULL, NULL, NULL, 'BAD_PROMPT', 'why', NULL, 0, 1);
INSERT INTO sample_inputs VALUES (1, '{"_id":"s","input":"i","context":"c"}');
INSERT INTO sample_events VALUES (1, 1, 'sample_started', 1, 1,
  '{"prompt_tokens":5,"raw_prompt_tokens":6,"truncated":true,
    "queue_seconds":0.25,"length":7}');
INSERT INTO steps VALUES (1, 2, 1, 1, 1, 5, 42, 'x', 0.5, -0.25, 0.75, 0.125,
  2.5, 0.0625);
INSERT INTO step_recalls VALUES (1, 2, 0, 1, 0.5, 0.25, 0.375, 0.5, 0.75, NULL,
  0.5, NULL, NULL, '[[3,0.5,"w"]]');
INSERT INTO step_recalls VALUES (1, 2, 1, 1, 0.5, 0.25, NULL, 0.5, 0.75,
  x'0000003F0000803E', NULL, 0.25, 1, NULL);
INSERT INTO step_gaps VALUES (1, 2, 0, 0.5, 0.25, -0.5, 42, 1);
INSERT INTO sample_events VALUES (1, 3, 'sample_finished', 1, 1,
  '{"generated_tokens":1,"text":"x","score":0.5,"finish_reason":"eos",
    "prefill_seconds":1,"decode_seconds":2,"gap_scores":[0.5,0.25]}');
INSERT INTO sample_events VALUES (1, 4, 'sample_failed', 2, 1,
  '{"reason":"BAD_PROMPT","message":"why"}');
INSERT INTO sample_events VALUES (1, 5, 'run_finished', NULL, 1,
  '{"state":"partially_failed","samples_done":1,"samples_failed":1}');
)sql";

RunConfig SmallConfig() {
  RunConfig config;
  config.task = "hotpotqa";
  config.policies = {{"h2o", {}}};
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = {{Budget::Kind::kCurrentRatio, 0.2}};
  config.gaps = *ParseGapSpecs("without_gold(0.2)");
  config.max_new_tokens = 32;
  config.max_prompt_tokens = 100;
  config.chat_template = "auto";
  return config;
}

void MustRun(const absl::Status& status) {
  Require(status.ok(), std::string(status.ToString()).c_str());
}

void AddRun(Database& database, int64_t id, const char* state,
            int64_t last_sequence) {
  MustRun(database.Run(
      "INSERT INTO runs (id, run_id, request_id, body_digest, state, config, "
      "provenance, complete, samples_submitted, samples_done, samples_failed, "
      "last_sequence, created_us) VALUES "
      "(?1, ?2, ?2, '', ?3, ?4, ?5, 1, 2, 1, 1, ?6, 1000000)",
      id, "run" + std::to_string(id), state, ConfigToJson(SmallConfig()).dump(),
      ProvenanceToJson(Provenance()).dump(), last_sequence));
}

std::string Schema(bool strict) {
  if (strict) return kSchemaSql;
  return absl::StrReplaceAll(
      kSchemaSql,
      {{") STRICT, WITHOUT ROWID;", ") WITHOUT ROWID;"}, {") STRICT;", ");"}});
}

void CheckRun(const RunInfo& run) {
  const absl::StatusOr<RunConfig> again = ConfigFromJson(
      ConfigToJson(run.config)
          .dump(-1, ' ', false,
                nlohmann::ordered_json::error_handler_t::replace));
  Require(again.ok(), "a configuration that was read can be written");
  ToProto(run).ByteSizeLong();
}

void ReadEvents(RecordsReader& reader, const std::string& run_id) {
  int64_t after = 0;
  while (after < 4 * kPage) {
    const auto events = reader.ReadAfter(run_id, after, kPage);
    RequireReadable(events.status());
    if (!events.ok() || events->empty()) return;
    Require(events->size() <= kPage, "a page has its limit");
    for (const Event& event : *events) {
      Require(event.sequence == ++after, "sequences have no gaps");
      ToProto(event).ByteSizeLong();
    }
  }
}

void ReadSamples(RecordsReader& reader, const std::string& run_id) {
  const auto samples = reader.ListSamples(run_id, 0, kPage);
  RequireReadable(samples.status());
  if (!samples.ok()) return;
  for (const SampleInfo& sample : *samples)
    RequireReadable(reader.GetSampleInput(run_id, sample.sample_id).status());
}

}  // namespace

std::string SmallDatabase(bool strict) {
  const ScratchFile file("fuzz_small");
  auto opened = Database::Open(file.path(), {});
  Require(opened.ok(), "a database can be made");
  Database& database = **opened;
  MustRun(database.Exec("PRAGMA page_size = 512"));
  MustRun(database.Exec(Schema(strict)));
  AddRun(database, 1, "partially_failed", 5);
  AddRun(database, 2, "queued", 0);
  MustRun(database.Exec(kRows));
  MustRun(database.Exec("VACUUM"));
  opened->reset();
  return file.Read();
}

void ReadEverything(const std::string& path) {
  const auto opened = RecordsReader::Open(path);
  RequireReadable(opened.status());
  if (!opened.ok()) return;
  RecordsReader& reader = **opened;
  std::set<std::string> ids = {"run1", "run2"};
  std::string token;
  int pages = 0;
  do {
    const auto page = reader.ListRuns(1, token);
    RequireReadable(page.status());
    if (!page.ok()) break;
    for (const RunInfo& run : page->first) ids.insert(run.run_id);
    token = page->second;
  } while (!token.empty() && ++pages < kPage);
  for (const std::string& id : ids) {
    const absl::StatusOr<RunInfo> run = reader.GetRun(id);
    RequireReadable(run.status());
    if (run.ok()) CheckRun(*run);
    ReadEvents(reader, id);
    ReadSamples(reader, id);
  }
}

}  // namespace kvrecall
