#include "common/records_db/merge_file.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/json.h"
#include "common/record/run_difference.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/merge_plan.h"
#include "common/records_db/merge_source.h"
#include "common/records_db/new_file.h"
#include "common/records_db/schema.h"
#include "common/records_db/schema_sql.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// Samples that are taken from the file at hand, and what becomes of them; then
// where their events go. `base` is the sequence before the sample's first.
constexpr char kWorkTables[] = R"(
CREATE TEMP TABLE taken (
  old_sample INTEGER PRIMARY KEY,
  sample INTEGER NOT NULL,
  run INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  base INTEGER NOT NULL
) STRICT;
CREATE TEMP TABLE moved (
  old_run INTEGER NOT NULL,
  old_sequence INTEGER NOT NULL,
  run INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  sample INTEGER NOT NULL,
  PRIMARY KEY (old_run, old_sequence)
) STRICT, WITHOUT ROWID;
)";

// What is taken over from the attached database `source`. Columns by name: the
// keys are new, the rest is copied as it is.
constexpr const char* kCopies[] = {
    "INSERT INTO samples (id, run, ordinal, sample_id, state, attempt, "
    "  recorded_attempt, submitted_us, leased_us, ended_us, prompt_tokens, "
    "  raw_prompt_tokens, truncated, queue_seconds, generated_tokens, text, "
    "  score, finish_reason, prefill_seconds, decode_seconds, error_reason, "
    "  error_message, gap_scores, length, crashes, owner, cost, record_key, "
    "  reused_from) "
    "SELECT taken.sample, taken.run, taken.ordinal, old.sample_id, old.state, "
    "  old.attempt, old.recorded_attempt, old.submitted_us, old.leased_us, "
    "  old.ended_us, old.prompt_tokens, old.raw_prompt_tokens, old.truncated, "
    "  old.queue_seconds, old.generated_tokens, old.text, old.score, "
    "  old.finish_reason, old.prefill_seconds, old.decode_seconds, "
    "  old.error_reason, old.error_message, old.gap_scores, old.length, "
    "  old.crashes, old.owner, old.cost, old.record_key, old.reused_from "
    "FROM temp.taken JOIN source.samples AS old ON old.id = old_sample "
    "WHERE taken.attempt > 0",
    // What has no records in any file: as if its run had been cancelled.
    "INSERT INTO samples (id, run, ordinal, sample_id, state, submitted_us, "
    "  ended_us, owner, cost, record_key) "
    "SELECT taken.sample, taken.run, taken.ordinal, old.sample_id, "
    "  'cancelled', old.submitted_us, runs.ended_us, old.owner, old.cost, "
    "  old.record_key "
    "FROM temp.taken JOIN source.samples AS old ON old.id = old_sample "
    "JOIN main.runs ON runs.id = taken.run WHERE taken.attempt = 0",
    "INSERT INTO sample_inputs (sample, payload) "
    "SELECT taken.sample, payload FROM temp.taken "
    "JOIN source.sample_inputs AS old ON old.sample = old_sample",
    // Sequences are dense: a sample's events come one behind the other.
    "INSERT INTO temp.moved (old_run, old_sequence, run, sequence, sample) "
    "SELECT event.run, event.sequence, taken.run, base + row_number() "
    "  OVER (PARTITION BY taken.sample ORDER BY event.sequence), taken.sample "
    "FROM (SELECT run, sequence, sample, attempt FROM source.steps UNION ALL "
    "      SELECT run, sequence, sample, attempt FROM source.sample_events) "
    "  AS event JOIN temp.taken ON old_sample = event.sample "
    "  AND taken.attempt = event.attempt",
    "INSERT INTO sample_events (run, sequence, kind, sample, attempt, detail) "
    "SELECT moved.run, moved.sequence, old.kind, moved.sample, old.attempt, "
    "  old.detail FROM source.sample_events AS old "
    "JOIN temp.moved ON old_run = old.run AND old_sequence = old.sequence",
    "INSERT INTO steps (run, sequence, sample, attempt, step, n, token_id, "
    "  token, entropy, logprob, p_max, margin, attention_entropy, "
    "  attention_entropy_std) "
    "SELECT moved.run, moved.sequence, moved.sample, old.attempt, old.step, "
    "  old.n, old.token_id, old.token, old.entropy, old.logprob, old.p_max, "
    "  old.margin, old.attention_entropy, old.attention_entropy_std "
    "FROM source.steps AS old "
    "JOIN temp.moved ON old_run = old.run AND old_sequence = old.sequence",
    "INSERT INTO step_recalls (run, sequence, lane, k, recall, chance, lift, "
    "  mass, mass_ratio, layer_recalls, recall_without_free_hits, drift, "
    "  fetched_back, lost) "
    "SELECT moved.run, moved.sequence, old.lane, old.k, old.recall, "
    "  old.chance, old.lift, old.mass, old.mass_ratio, old.layer_recalls, "
    "  old.recall_without_free_hits, old.drift, old.fetched_back, old.lost "
    "FROM source.step_recalls AS old "
    "JOIN temp.moved ON old_run = old.run AND old_sequence = old.sequence",
    "INSERT INTO step_gaps (run, sequence, gap, kl, entropy_change, "
    "  logprob_change, token_id, top1_agrees) "
    "SELECT moved.run, moved.sequence, old.gap, old.kl, old.entropy_change, "
    "  old.logprob_change, old.token_id, old.top1_agrees "
    "FROM source.step_gaps AS old "
    "JOIN temp.moved ON old_run = old.run AND old_sequence = old.sequence",
};

// Writes the planned runs into a new database, file by file.
class Writer {
 public:
  Writer(Database& made, const std::vector<SourceFile>& files,
         const std::vector<PlannedRun>& runs)
      : made_(made), files_(files), runs_(runs) {}

  absl::Status Write() {
    RETURN_IF_ERROR(made_.Exec("PRAGMA journal_mode = OFF"));
    RETURN_IF_ERROR(made_.Exec("PRAGMA synchronous = OFF"));
    RETURN_IF_ERROR(made_.Exec(kSchemaSql));
    RETURN_IF_ERROR(made_.Exec(kWorkTables));
    for (size_t run = 0; run < runs_.size(); ++run)
      RETURN_IF_ERROR(InsertRun(KeyOf(run), runs_[run].info));
    for (size_t file = 0; file < files_.size(); ++file)
      RETURN_IF_ERROR(CopyFrom(file));
    return made_.Exec("DROP TABLE temp.moved; DROP TABLE temp.taken");
  }

 private:
  static int64_t KeyOf(size_t run) { return static_cast<int64_t>(run) + 1; }

  absl::Status InsertRun(int64_t key, const RunInfo& run) {
    RETURN_IF_ERROR(made_.Run(
        "INSERT INTO runs (id, run_id, request_id, body_digest, state, config, "
        "provenance, complete, samples_submitted, samples_done, "
        "samples_failed, last_sequence, created_us, ended_us, owner) VALUES "
        "(?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        key, run.run_id, absl::StrCat("merge of ", run.run_id),
        StudyDigest(run), RunStateName(run.state),
        ConfigToJson(run.config).dump(),
        ProvenanceToJson(run.provenance).dump(), run.samples_submitted,
        run.samples_done, run.samples_failed, run.last_sequence,
        absl::ToUnixMicros(run.create_time), absl::ToUnixMicros(*run.end_time),
        run.owner));
    const EventBody end =
        RunEnd{run.state, run.samples_done, run.samples_failed};
    return made_.Run(
        "INSERT INTO sample_events (run, sequence, kind, sample, attempt, "
        "detail) VALUES (?1, ?2, ?3, NULL, 1, ?4)",
        key, run.last_sequence, EventKind(end), EventDetailToJson(end));
  }

  absl::Status CopyFrom(size_t file) {
    RETURN_IF_ERROR(made_.AttachForReading(files_[file].path, "source"));
    const absl::Status copied =
        InTransaction(made_, TransactionKind::kRead, [&]() -> absl::Status {
          RETURN_IF_ERROR(made_.Run("DELETE FROM temp.taken"));
          RETURN_IF_ERROR(made_.Run("DELETE FROM temp.moved"));
          RETURN_IF_ERROR(CopyLanes(file));
          RETURN_IF_ERROR(Take(file));
          for (const char* copy : kCopies) RETURN_IF_ERROR(made_.Run(copy));
          return absl::OkStatus();
        });
    RETURN_IF_ERROR(copied);
    return made_.Run("DETACH source");
  }

  // All runs of a study have the same lanes: its first gives them.
  absl::Status CopyLanes(size_t file) {
    for (size_t run = 0; run < runs_.size(); ++run) {
      const RunOrigin& first = runs_[run].origins.front();
      if (first.file != file) continue;
      RETURN_IF_ERROR(made_.Run(
          "INSERT INTO lanes (run, lane, policy, scope, budget, budget_kind, "
          "budget_value) SELECT ?1, lane, policy, scope, budget, budget_kind, "
          "budget_value FROM source.lanes WHERE run = ?2",
          KeyOf(run), first.run));
      RETURN_IF_ERROR(made_.Run(
          "INSERT INTO gap_lanes (run, gap, lane, kind, policy, scope, budget, "
          "budget_kind, budget_value) SELECT ?1, gap, lane, kind, policy, "
          "scope, budget, budget_kind, budget_value FROM source.gap_lanes "
          "WHERE run = ?2",
          KeyOf(run), first.run));
    }
    return absl::OkStatus();
  }

  absl::Status Take(size_t file) {
    ASSIGN_OR_RETURN(
        Statement insert,
        made_.Prepare("INSERT INTO temp.taken (old_sample, sample, run, "
                      "ordinal, attempt, base) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)"));
    int64_t key = 0;
    for (size_t run = 0; run < runs_.size(); ++run) {
      int64_t base = 0;
      for (const PlannedSample& sample : runs_[run].samples) {
        ++key;
        const SourceSample& source = sample.source;
        if (sample.file == file) {
          RETURN_IF_ERROR(insert.Bind(source.key, key, KeyOf(run),
                                      source.ordinal, source.attempt, base));
          RETURN_IF_ERROR(insert.Run());
        }
        base += source.events;
      }
    }
    return absl::OkStatus();
  }

  Database& made_;
  const std::vector<SourceFile>& files_;
  const std::vector<PlannedRun>& runs_;
};

absl::Status CheckPlaces(const std::vector<std::string>& sources,
                         const std::string& file, bool overwrite) {
  RETURN_IF_ERROR(CheckDatabasePath(file));
  std::error_code error;
  for (const std::string& source : sources)
    if (fs::equivalent(source, file, error))
      return absl::InvalidArgumentError(
          absl::StrCat(file,
                       ": is one of the files to be merged; name "
                       "another for the result"));
  if (fs::exists(file, error) && !overwrite)
    return absl::AlreadyExistsError(absl::StrCat(file, ": exists already"));
  // What a log beside it says would be taken for the new file's.
  for (const char* suffix : {"-wal", "-journal"})
    if (const auto bytes = fs::file_size(absl::StrCat(file, suffix), error);
        !error && bytes > 0)
      return absl::InvalidArgumentError(absl::StrCat(
          file,
          ": is in use, or was in use by a server that did not end well (",
          file, suffix, " is there)"));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SourceFile>> ReadAll(
    const std::vector<std::string>& sources, const MergeOptions& options) {
  std::vector<SourceFile> files;
  std::set<std::string> found;
  for (const std::string& source : sources) {
    if (options.on_message) options.on_message(absl::StrCat("reads ", source));
    ASSIGN_OR_RETURN(SourceFile file,
                     ReadSourceFile(source, options.run_ids, options.stop));
    for (const SourceRun& run : file.runs) found.insert(run.info.run_id);
    files.push_back(std::move(file));
  }
  for (const std::string& name : options.run_ids)
    if (!found.count(name))
      return absl::NotFoundError(
          absl::StrCat("run '", OneLine(name), "' is in none of the files"));
  if (found.empty())
    return absl::InvalidArgumentError(
        "there is nothing to merge: the files have no runs");
  return files;
}

// That the new file says what the plan does, sample by sample.
absl::Status Check(const std::string& path, const std::vector<PlannedRun>& runs,
                   const std::function<bool()>& stop) {
  ASSIGN_OR_RETURN(const SourceFile made, ReadSourceFile(path, {}, stop));
  const auto wrong = [](const std::string& what) {
    return absl::DataLossError(
        absl::StrCat("the merged file is not what it was made from: ", what,
                     "; was a file changed meanwhile?"));
  };
  if (made.runs.size() != runs.size()) return wrong("runs are missing");
  for (size_t i = 0; i < runs.size(); ++i) {
    const std::vector<SourceSample>& have = made.runs[i].samples;
    const std::vector<PlannedSample>& want = runs[i].samples;
    if (have.size() != want.size()) return wrong("samples are missing");
    for (size_t j = 0; j < want.size(); ++j) {
      const SourceSample& sample = want[j].source;
      if (have[j].sample_id != sample.sample_id ||
          have[j].ordinal != sample.ordinal || have[j].state != sample.state ||
          have[j].input_digest != sample.input_digest ||
          have[j].records_digest != sample.records_digest ||
          have[j].events != sample.events)
        return wrong(absl::StrCat("sample '", OneLine(sample.sample_id), "'"));
    }
  }
  return absl::OkStatus();
}

MergedRun Describe(const PlannedRun& run) {
  MergedRun merged;
  merged.info = run.info;
  merged.repeated = run.repeated;
  std::set<size_t> files;
  for (const RunOrigin& origin : run.origins) files.insert(origin.file);
  merged.files = std::ssize(files);
  if (!run.samples.empty())
    merged.absent = run.samples.back().source.ordinal - std::ssize(run.samples);
  return merged;
}

}  // namespace

absl::StatusOr<std::vector<MergedRun>> MergeFiles(
    const std::vector<std::string>& sources, const std::string& file,
    const MergeOptions& options) {
  RETURN_IF_ERROR(CheckPlaces(sources, file, options.overwrite));
  ASSIGN_OR_RETURN(const std::vector<SourceFile> files,
                   ReadAll(sources, options));
  ASSIGN_OR_RETURN(const std::vector<PlannedRun> runs, PlanMerge(files));
  ASSIGN_OR_RETURN(
      NewFile part,
      NewFile::Make(file, options.overwrite ? NewFile::Existing::kReplace
                                            : NewFile::Existing::kRefuse));
  if (options.on_message) options.on_message(absl::StrCat("writes ", file));
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<Database> made,
                     Database::Open(part.path(), {.may_attach = true}));
    if (options.stop) made->StopWhen(options.stop);
    RETURN_IF_ERROR(Writer(*made, files, runs).Write());
  }
  RETURN_IF_ERROR(Check(part.path(), runs, options.stop));
  RETURN_IF_ERROR(part.Commit());
  std::vector<MergedRun> merged;
  for (const PlannedRun& run : runs) merged.push_back(Describe(run));
  return merged;
}

}  // namespace kvrecall
