#include "common/records_db/reader.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/json.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/event_page.h"
#include "common/records_db/schema.h"

namespace kvrecall {
namespace {

constexpr std::string_view kPageTokenPrefix = "runs-before-";

// The columns that RunFrom reads, in its order.
#define KVR_RUN_COLUMNS                                                 \
  "id, run_id, state, config, provenance, samples_submitted, "          \
  "samples_done, samples_failed, complete, last_sequence, created_us, " \
  "ended_us, owner, deadline_us"

absl::StatusOr<RunInfo> RunFrom(const Statement& row) {
  RunInfo run;
  run.run_id = row.Text(1);
  ASSIGN_OR_RETURN(run.state, ParseRunState(row.Text(2)));
  ASSIGN_OR_RETURN(run.config, ConfigFromJson(row.Text(3)));
  ASSIGN_OR_RETURN(run.provenance, ProvenanceFromJson(row.Text(4)));
  run.samples_submitted = row.Int(5);
  run.samples_done = row.Int(6);
  run.samples_failed = row.Int(7);
  run.complete = row.Int(8) != 0;
  run.last_sequence = row.Int(9);
  run.create_time = absl::FromUnixMicros(row.Int(10));
  if (!row.IsNull(11)) run.end_time = absl::FromUnixMicros(row.Int(11));
  run.owner = row.Text(12);
  if (!row.IsNull(13)) run.deadline = absl::FromUnixMicros(row.Int(13));
  return run;
}

absl::Status NoSuchRun(std::string_view run_id) {
  return absl::NotFoundError(
      absl::StrCat("run '", OneLine(run_id), "' does not exist"));
}

absl::Status Damaged(const Database& database, std::string_view run_id,
                     const std::string& what) {
  return absl::DataLossError(absl::StrCat(
      database.path(), ": run '", OneLine(run_id), "': ", OneLine(what)));
}

// The last run id of the previous page; the largest one for the first page.
absl::StatusOr<int64_t> ParsePageToken(std::string_view token) {
  if (token.empty()) return INT64_MAX;
  int64_t id = 0;
  if (token.starts_with(kPageTokenPrefix)) {
    const std::string_view number = token.substr(kPageTokenPrefix.size());
    if (absl::SimpleAtoi(absl::string_view(number.data(), number.size()),
                         &id) &&
        id > 0) {
      return id;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "page token '", OneLine(token), "' is not one of a previous page"));
}

absl::Status CheckPositive(const char* name, int value) {
  if (value >= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", value, "; expected at least 1"));
}

struct RunKey {
  int64_t id = 0;
  int64_t last_sequence = 0;
};

absl::StatusOr<RunKey> FindRun(Database& database, std::string_view run_id) {
  ASSIGN_OR_RETURN(
      Statement row,
      database.Prepare("SELECT id, last_sequence FROM runs WHERE run_id = ?1"));
  RETURN_IF_ERROR(row.Bind(run_id));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoSuchRun(run_id);
  return RunKey{row.Int(0), row.Int(1)};
}

absl::StatusOr<SampleInfo> SampleFrom(const Statement& row) {
  SampleInfo sample;
  sample.sample_id = row.Text(0);
  sample.ordinal = row.Int(1);
  ASSIGN_OR_RETURN(sample.state, ParseSampleState(row.Text(2)));
  sample.attempt = row.Int(3);
  sample.submit_time = absl::FromUnixMicros(row.Int(4));
  if (!row.IsNull(5)) {
    sample.start = SampleStart{row.Int(5),
                               row.Int(6),
                               row.Int(7) != 0,
                               row.Double(8),
                               row.IsNull(18) ? 0 : row.Int(18),
                               std::string(row.Text(19))};
  }
  if (!row.IsNull(9)) {
    SampleResult& result = sample.result.emplace();
    result.generated_tokens = row.Int(9);
    result.text = row.Text(10);
    result.score = row.OptionalDouble(11);
    ASSIGN_OR_RETURN(result.finish_reason, ParseFinishReason(row.Text(12)));
    result.prefill_seconds = row.Double(13);
    result.decode_seconds = row.Double(14);
    if (!row.IsNull(17)) {
      ASSIGN_OR_RETURN(result.gap_scores, NumbersFromJson(row.Text(17)));
    }
  }
  if (!row.IsNull(15)) {
    sample.failure =
        SampleFailure{std::string(row.Text(15)), std::string(row.Text(16))};
  }
  return sample;
}

struct PageCounts {
  int64_t all = 0;
  int64_t free = 0;
  int64_t size = 0;  // bytes of one
};

absl::StatusOr<PageCounts> CountPages(Database& database) {
  PageCounts pages;
  ASSIGN_OR_RETURN(pages.all, database.QueryInt("PRAGMA page_count"));
  ASSIGN_OR_RETURN(pages.free, database.QueryInt("PRAGMA freelist_count"));
  ASSIGN_OR_RETURN(pages.size, database.QueryInt("PRAGMA page_size"));
  return pages;
}

// Of the run with key `run`, as RecordsReader::ListSamples.
absl::StatusOr<std::vector<SampleInfo>> ReadSamples(Database& database,
                                                    int64_t run, int64_t after,
                                                    int limit) {
  ASSIGN_OR_RETURN(
      Statement row,
      database.Prepare(
          "SELECT sample_id, ordinal, state, recorded_attempt, submitted_us, "
          "prompt_tokens, raw_prompt_tokens, truncated, queue_seconds, "
          "generated_tokens, text, score, finish_reason, prefill_seconds, "
          "decode_seconds, error_reason, error_message, gap_scores, length, "
          "reused_from "
          "FROM samples "
          "WHERE run = ?1 AND ordinal > ?2 ORDER BY ordinal LIMIT ?3"));
  RETURN_IF_ERROR(row.Bind(run, after, limit));
  std::vector<SampleInfo> samples;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return samples;
    ASSIGN_OR_RETURN(SampleInfo sample, SampleFrom(row));
    samples.push_back(std::move(sample));
  }
}

}  // namespace

absl::StatusOr<int64_t> UsedBytes(Database& database) {
  ASSIGN_OR_RETURN(const PageCounts pages, CountPages(database));
  return (pages.all - pages.free) * pages.size;
}

const char* SampleStateName(SampleState state) {
  switch (state) {
    case SampleState::kQueued:
      return "queued";
    case SampleState::kRunning:
      return "running";
    case SampleState::kDone:
      return "done";
    case SampleState::kFailed:
      return "failed";
    case SampleState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

absl::StatusOr<SampleState> ParseSampleState(std::string_view name) {
  for (const SampleState state :
       {SampleState::kQueued, SampleState::kRunning, SampleState::kDone,
        SampleState::kFailed, SampleState::kCancelled}) {
    if (name == SampleStateName(state)) return state;
  }
  return absl::DataLossError(
      absl::StrCat("unknown state of a sample '", OneLine(name), "'"));
}

absl::StatusOr<RunInfo> ReadRun(Database& database, std::string_view run_id) {
  ASSIGN_OR_RETURN(Statement row,
                   database.Prepare("SELECT " KVR_RUN_COLUMNS
                                    " FROM runs WHERE run_id = ?1"));
  RETURN_IF_ERROR(row.Bind(run_id));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return NoSuchRun(run_id);
  absl::StatusOr<RunInfo> run = RunFrom(row);
  if (!run.ok()) {
    return Damaged(database, run_id, std::string(run.status().message()));
  }
  return run;
}

absl::StatusOr<std::unique_ptr<RecordsReader>> RecordsReader::Open(
    const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, OpenForReading(path));
  return std::unique_ptr<RecordsReader>(new RecordsReader(std::move(database)));
}

absl::StatusOr<DatabaseOverview> RecordsReader::Overview() {
  DatabaseOverview all;
  Database& database = *database_;
  RETURN_IF_ERROR(
      InTransaction(database, TransactionKind::kRead, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(all.runs,
                         database.QueryInt("SELECT count(*) FROM runs"));
        if (all.runs > 0) {
          ASSIGN_OR_RETURN(
              const int64_t oldest_us,
              database.QueryInt(
                  "SELECT created_us FROM runs ORDER BY id LIMIT 1"));
          all.oldest_run = absl::FromUnixMicros(oldest_us);
        }
        ASSIGN_OR_RETURN(all.samples_waiting,
                         database.QueryInt("SELECT count(*) FROM samples "
                                           "WHERE state = 'queued'"));
        ASSIGN_OR_RETURN(all.samples_running,
                         database.QueryInt("SELECT count(*) FROM samples "
                                           "WHERE state = 'running'"));
        ASSIGN_OR_RETURN(const PageCounts pages, CountPages(database));
        all.bytes = pages.all * pages.size;
        all.free_bytes = pages.free * pages.size;
        return absl::OkStatus();
      }));
  return all;
}

absl::StatusOr<RunInfo> RecordsReader::GetRun(std::string_view run_id) {
  return ReadRun(*database_, run_id);
}

absl::StatusOr<int64_t> RecordsReader::SamplesAhead(
    std::string_view run_id, std::span<const std::string> but_of) {
  ASSIGN_OR_RETURN(const RunKey run, FindRun(*database_, run_id));
  return database_->QueryInt(
      "SELECT count(*) FROM samples WHERE state IN ('queued', 'running') "
      "AND id < (SELECT min(id) FROM samples WHERE run = ?1 "
      "          AND state = 'queued') "
      "AND run NOT IN (SELECT id FROM runs WHERE run_id IN "
      "                (SELECT value FROM json_each(?2)))",
      run.id, nlohmann::json(std::vector(but_of.begin(), but_of.end())).dump());
}

absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>>
RecordsReader::ListRuns(int page_size, std::string_view page_token) {
  RETURN_IF_ERROR(CheckPositive("page size", page_size));
  ASSIGN_OR_RETURN(const int64_t before, ParsePageToken(page_token));
  ASSIGN_OR_RETURN(
      Statement row,
      database_->Prepare("SELECT " KVR_RUN_COLUMNS
                         " FROM runs WHERE id < ?1 ORDER BY id DESC LIMIT ?2"));
  // One more than asked for tells whether there is a next page.
  RETURN_IF_ERROR(row.Bind(before, static_cast<int64_t>(page_size) + 1));
  std::pair<std::vector<RunInfo>, std::string> page;
  int64_t last_id = 0;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return page;
    if (page.first.size() == static_cast<size_t>(page_size)) {
      page.second = absl::StrCat(std::string(kPageTokenPrefix), last_id);
      return page;
    }
    last_id = row.Int(0);
    absl::StatusOr<RunInfo> run = RunFrom(row);
    if (!run.ok()) {
      return Damaged(*database_, row.Text(1),
                     std::string(run.status().message()));
    }
    page.first.push_back(*std::move(run));
  }
}

absl::StatusOr<std::vector<Event>> RecordsReader::ReadAfter(
    std::string_view run_id, int64_t after, int limit,
    const EventParts& parts) {
  RETURN_IF_ERROR(CheckPositive("limit", limit));
  std::vector<Event> events;
  RETURN_IF_ERROR(
      InTransaction(*database_, TransactionKind::kRead, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(const RunKey run, FindRun(*database_, run_id));
        if (after < 0 || after > run.last_sequence) {
          return absl::OutOfRangeError(absl::StrCat(
              "run '", OneLine(run_id), "' has events 1 to ", run.last_sequence,
              "; there is nothing after ", after));
        }
        const int64_t last =
            after + std::min<int64_t>(limit, run.last_sequence - after);
        ASSIGN_OR_RETURN(events, ReadEventPage(*database_, run_id, run.id,
                                               after, last, parts));
        return absl::OkStatus();
      }));
  return events;
}

absl::StatusOr<std::vector<SampleInfo>> RecordsReader::ListSamples(
    std::string_view run_id, int64_t after, int limit) {
  RETURN_IF_ERROR(CheckPositive("limit", limit));
  std::vector<SampleInfo> samples;
  RETURN_IF_ERROR(
      InTransaction(*database_, TransactionKind::kRead, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(const RunKey run, FindRun(*database_, run_id));
        ASSIGN_OR_RETURN(samples,
                         ReadSamples(*database_, run.id, after, limit));
        return absl::OkStatus();
      }));
  return samples;
}

absl::StatusOr<std::string> RecordsReader::GetSampleInput(
    std::string_view run_id, std::string_view sample_id) {
  ASSIGN_OR_RETURN(const RunKey run, FindRun(*database_, run_id));
  ASSIGN_OR_RETURN(
      Statement row,
      database_->Prepare("SELECT payload FROM sample_inputs "
                         "JOIN samples ON samples.id = sample_inputs.sample "
                         "WHERE samples.run = ?1 AND samples.sample_id = ?2"));
  RETURN_IF_ERROR(row.Bind(run.id, sample_id));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) {
    return absl::NotFoundError(absl::StrCat("run '", OneLine(run_id),
                                            "' has no sample '",
                                            OneLine(sample_id), "'"));
  }
  return std::string(row.Text(0));
}

}  // namespace kvrecall
