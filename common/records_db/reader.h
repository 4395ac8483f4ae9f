#pragma once

// Reads runs, samples and events back as they were recorded: the one read
// path, used by the server and, on the file itself, by the client.
//
// One thread at a time. Each call sees one committed state. Any call may fail
// with DataLoss (the file is damaged) or Unavailable (locked for long).

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/record/run_info.h"
#include "common/records_db/event_page.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {

enum class SampleState { kQueued, kRunning, kDone, kFailed, kCancelled };

// "queued", "running", "done", "failed", "cancelled".
const char* SampleStateName(SampleState state);
// DataLoss: no such state.
absl::StatusOr<SampleState> ParseSampleState(std::string_view name);

// A sample of a run, without its input.
struct SampleInfo {
  std::string sample_id;
  int64_t ordinal = 0;  // place in the run, from 1; may have gaps
  SampleState state = SampleState::kQueued;
  // The attempt whose events count; 0: it has no events yet.
  int64_t attempt = 0;
  absl::Time submit_time;
  std::optional<SampleStart> start;      // once it has started
  std::optional<SampleResult> result;    // kDone
  std::optional<SampleFailure> failure;  // kFailed
};

// What a database has.
struct DatabaseOverview {
  int64_t runs = 0;
  std::optional<absl::Time> oldest_run;  // when it was made
  int64_t samples_waiting = 0;
  int64_t samples_running = 0;
  int64_t bytes = 0;       // of all pages, without the log
  int64_t free_bytes = 0;  // of pages that the next rows are written to
};

// Bytes that rows take: the pages that are not free. Any connection.
absl::StatusOr<int64_t> UsedBytes(Database& database);

// NotFound: no such run. For any connection, the writer's included.
absl::StatusOr<RunInfo> ReadRun(Database& database, std::string_view run_id);

class RecordsReader {
 public:
  // As OpenForReading.
  static absl::StatusOr<std::unique_ptr<RecordsReader>> Open(
      const std::string& path);

  absl::StatusOr<DatabaseOverview> Overview();

  // NotFound: no such run.
  absl::StatusOr<RunInfo> GetRun(std::string_view run_id);

  // Samples of all runs that wait or run, and were submitted before the first
  // of the run's that waits; 0 where none does. Those of the runs `but_of`,
  // which will not run, are left out. NotFound.
  absl::StatusOr<int64_t> SamplesAhead(
      std::string_view run_id, std::span<const std::string> but_of = {});

  // At most `page_size` (≥ 1) runs, newest first, and the token of the next
  // page: empty on the last one. `page_token` is empty for the first page.
  // InvalidArgument: not such a token, or a bad size.
  absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>> ListRuns(
      int page_size, std::string_view page_token);

  // Events with a sequence above `after`, ascending, at most `limit` (≥ 1).
  // NotFound: no such run. OutOfRange: `after` lies beyond the last event.
  absl::StatusOr<std::vector<Event>> ReadAfter(std::string_view run_id,
                                               int64_t after, int limit,
                                               const EventParts& parts = {});

  // Samples with an ordinal above `after`, ascending, at most `limit` (≥ 1).
  // NotFound: no such run.
  absl::StatusOr<std::vector<SampleInfo>> ListSamples(std::string_view run_id,
                                                      int64_t after, int limit);

  // The sample's input: a JSON line of LongBench's schema, as ParseSample of
  // common/longbench reads it. NotFound: the run has no such sample.
  absl::StatusOr<std::string> GetSampleInput(std::string_view run_id,
                                             std::string_view sample_id);

 private:
  explicit RecordsReader(std::unique_ptr<Database> database)
      : database_(std::move(database)) {}

  std::unique_ptr<Database> database_;
};

}  // namespace kvrecall
