#pragma once

// The statements that make runs and move samples through the durable queue.
// All methods run on the writer thread, inside one of its transactions; `now`
// is the time that is recorded.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/record/run_info.h"
#include "common/records_db/sqlite.h"
#include "server/store/event_log.h"
#include "server/store/fair_turns.h"
#include "server/store/held_runs.h"
#include "server/store/run_id.h"
#include "server/store/store.h"
#include "server/store/store_observer.h"

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

// A sample taken from the queue, as the database has it.
struct TakenSample {
  LeaseKey key;
  std::string run_id;
  std::string sample_id;
  std::string config;      // JSON
  std::string provenance;  // JSON
  std::string payload;     // JSON
  absl::Time submit_time;
};

// When the time limit of a run passes that has not ended.
struct OpenDeadline {
  std::string run_id;
  absl::Time time;
};

// A sample that so many servers died of is failed, not tried again.
inline constexpr int kMostCrashes = 3;

class RunQueue {
 public:
  // What is pointed to outlives it.
  RunQueue(Database* database, EventLog* log, const HeldRuns* held,
           const QueueLimits& limits)
      : database_(*database), log_(*log), held_(*held), limits_(limits) {}

  // At opening, once: begins an epoch and gives the samples that earlier ones
  // left leased back to the queue; their next lease is a new attempt if events
  // of the last were appended. One that was running when a server ended without
  // a word, for the third time, is failed with SERVER_DIED instead.
  absl::Status Recover(absl::Time now);
  absl::StatusOr<QueueSize> Size();
  // Runs that have not ended, but for those that cannot be read, whose samples
  // fail when they are leased.
  absl::StatusOr<std::vector<RunInfo>> OpenRuns();
  // From now on Take leaves the samples of these runs alone, and limits do not
  // count them: what is in the queue then. `held` must tell of the same runs.
  absl::StatusOr<QueueSize> Hold(const HeldRuns::Reasons& runs);
  // Servers that had this database before, by Recover.
  int64_t earlier_servers() const { return epoch_ - 1; }

  // As the methods of Store.
  absl::StatusOr<RunInfo> Create(const NewRun& run, absl::Time now);
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
  absl::StatusOr<std::vector<OpenDeadline>> OpenDeadlines();

  // The next queued sample, now leased; clients take turns (FairTurns), and of
  // one client's the oldest comes first. Nothing if there is none, or if it got
  // another's records and has ended with that.
  absl::StatusOr<std::optional<TakenSample>> Take(absl::Time now,
                                                  Changes& changes);

  // Does nothing if the sample is not leased as `key` says.
  absl::Status Release(const LeaseKey& key, Changes& changes);
  // As Store::ReleaseAfterDeath.
  absl::Status ReleaseAfterDeath(const LeaseKey& key, absl::Time now,
                                 Changes& changes);

 private:
  struct RunRow {
    int64_t id = 0;
    std::string state;
    bool complete = false;
    bool ended = false;
    std::string owner, config, provenance;
    int64_t max_new_tokens = 0;
  };
  // What may still be queued.
  struct Room {
    int64_t samples = INT64_MAX, tokens = INT64_MAX;
  };
  // Of a statement on samples: " AND …", so that it leaves out those that are
  // held.
  const char* ButHeld() const;
  // Samples of a run that is held leave the queue, but were not waiting.
  void AddOfRun(const std::string& run_id, Changes of_run,
                Changes& changes) const;
  // Fails what so many servers died of, of the samples that are leased.
  absl::Status FailPoison(absl::Time now, Changes& changes);
  absl::StatusOr<RunRow> FindRun(const std::string& run_id);
  absl::Status InsertLanes(int64_t run, const RunConfig& config);
  absl::StatusOr<Room> RoomFor(const std::string& owner);
  // Lessens `room` by what is open of that owner, or of all; 0: no limit.
  absl::Status Limit(int64_t samples, int64_t tokens,
                     const std::optional<std::string>& owner, Room& room);
  // Whose samples are in the queue, first of those from `least` on.
  absl::StatusOr<std::optional<std::string>> NextOwner(
      const std::string& least);
  // The id of the sample whose turn it is; nothing if none waits.
  absl::StatusOr<std::optional<int64_t>> NextSample();
  absl::StatusOr<bool> HasSample(const RunRow& run, const std::string& id);
  absl::Status InsertSample(const RunRow& run, const NewSample& sample,
                            int64_t cost, absl::Time now);
  // InvalidArgument: another sample has the place that the sample asks for.
  absl::StatusOr<int64_t> OrdinalOf(const RunRow& run, const NewSample& sample);

  Database& database_;
  EventLog& log_;
  const HeldRuns& held_;
  const QueueLimits limits_;
  // Once some are held: samples up to this id may be, and those after it are
  // not. There may be a hundred thousand, which are not looked through for each
  // sample that is taken: only while some that are not held are among them.
  int64_t last_held_ = 0;
  bool some_before_ = false;
  FairTurns turns_;
  RunIdGenerator run_ids_;
  int64_t epoch_ = 0;
};

}  // namespace kvrecall
