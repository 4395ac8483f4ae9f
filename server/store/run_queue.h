#pragma once

// The statements that queue the samples of runs, and that end runs with what
// they still have queued. All methods run on the writer thread, inside one of
// its transactions; `now` is the time that is recorded.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/run_info.h"
#include "common/records_db/sqlite.h"
#include "server/store/event_log.h"
#include "server/store/held_runs.h"
#include "server/store/run_rows.h"
#include "server/store/sample_queue.h"
#include "server/store/store.h"

namespace kvrecall {

// A sample to be queued: its id, and itself as JSON.
struct NewSample {
  std::string id;
  std::string payload;
  std::string digest;   // of the payload
  int64_t ordinal = 0;  // place in the run, from 1; 0: behind the others
};

// Of samples that wait or run, and of their estimated tokens; of all clients
// together, and of each. 0: without limit.
struct QueueLimits {
  int64_t samples = 0, tokens = 0;
  int64_t samples_each = 0, tokens_each = 0;
};

class RunQueue {
 public:
  // What is pointed to outlives it. `held` must tell of the runs that `samples`
  // holds.
  RunQueue(Database* database, EventLog* log, RunRows* runs,
           SampleQueue* samples, const HeldRuns* held,
           const QueueLimits& limits)
      : database_(*database),
        log_(*log),
        runs_(*runs),
        samples_(*samples),
        held_(*held),
        limits_(limits) {}

  // As the methods of Store.
  absl::StatusOr<std::vector<SubmitOutcome>> Submit(
      const std::string& run_id, const std::vector<NewSample>& samples,
      bool complete, absl::Time now, Changes& changes);
  absl::StatusOr<RunInfo> Cancel(const std::string& run_id, absl::Time now,
                                 Changes& changes);

  // Ends a run whose time limit has passed: its samples that wait or run fail
  // with DEADLINE_EXCEEDED. False: it has ended, or is deleted, and nothing was
  // done.
  absl::StatusOr<bool> Expire(const std::string& run_id, absl::Time now,
                              Changes& changes);

 private:
  // What may still be queued.
  struct Room {
    int64_t samples = INT64_MAX, tokens = INT64_MAX;
  };
  absl::StatusOr<Room> RoomFor(const std::string& owner);
  // Lessens `room` by what is open of that owner, or of all; 0: no limit.
  absl::Status Limit(int64_t samples, int64_t tokens,
                     const std::optional<std::string>& owner, Room& room);
  absl::StatusOr<bool> HasSample(const RunRow& run, const std::string& id);
  absl::Status InsertSample(const RunRow& run, const NewSample& sample,
                            int64_t cost, absl::Time now);
  // InvalidArgument: another sample has the place that the sample asks for.
  absl::StatusOr<int64_t> OrdinalOf(const RunRow& run, const NewSample& sample);
  // Samples of a run that is held leave the queue, but were not waiting.
  void AddOfRun(const std::string& run_id, Changes of_run,
                Changes& changes) const;

  Database& database_;
  EventLog& log_;
  RunRows& runs_;
  SampleQueue& samples_;
  const HeldRuns& held_;
  const QueueLimits limits_;
};

}  // namespace kvrecall
