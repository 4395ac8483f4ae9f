#pragma once

// The statements that take samples from the durable queue and give them back.
// All methods run on the writer thread, inside one of its transactions; `now`
// is the time that is recorded.

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"
#include "server/store/event_log.h"
#include "server/store/fair_turns.h"
#include "server/store/held_runs.h"
#include "server/store/store_observer.h"

namespace kvrecall {

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

// Samples that wait or run.
struct OpenSamples {
  int64_t samples = 0;
  int64_t tokens = 0;  // estimated
};

// A sample that so many servers died of is failed, not tried again.
inline constexpr int kMostCrashes = 3;

class SampleQueue {
 public:
  // What is pointed to outlives it.
  SampleQueue(Database* database, EventLog* log)
      : database_(*database), log_(*log) {}

  // At opening, once: begins an epoch and gives the samples that earlier ones
  // left leased back to the queue; their next lease is a new attempt if events
  // of the last were appended. One that was running when a server ended without
  // a word, for the third time, is failed with SERVER_DIED instead.
  absl::Status Recover(absl::Time now);
  // Servers that had this database before, by Recover.
  int64_t earlier_servers() const { return epoch_ - 1; }

  // From now on Take leaves the samples of these runs alone, and Open does not
  // count them: what is in the queue then.
  absl::StatusOr<QueueSize> Hold(const HeldRuns::Reasons& runs);
  absl::StatusOr<QueueSize> Size();

  // Of that owner; without one, of all. Tokens where they are asked for.
  absl::StatusOr<OpenSamples> Open(const std::optional<std::string>& owner,
                                   bool with_tokens);

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
  // Of a statement on samples: " AND …", so that it leaves out those that are
  // held.
  const char* ButHeld() const;
  // Fails what so many servers died of, of the samples that are leased.
  absl::Status FailPoison(absl::Time now, Changes& changes);
  // Whose samples are in the queue, first of those from `least` on.
  absl::StatusOr<std::optional<std::string>> NextOwner(
      const std::string& least);
  // The id of the sample whose turn it is; nothing if none waits.
  absl::StatusOr<std::optional<int64_t>> NextSample();

  Database& database_;
  EventLog& log_;
  // Once some are held: samples up to this id may be, and those after it are
  // not. There may be a hundred thousand, which are not looked through for each
  // sample that is taken: only while some that are not held are among them.
  int64_t last_held_ = 0;
  bool some_before_ = false;
  FairTurns turns_;
  int64_t epoch_ = 0;
};

}  // namespace kvrecall
