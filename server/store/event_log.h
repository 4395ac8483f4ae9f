#pragma once

// The statements that append events and end samples and runs. All methods run
// on the writer thread, inside one of its transactions.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/record.h"
#include "common/records_db/sqlite.h"
#include "server/store/appended_events.h"
#include "server/store/store_observer.h"

namespace kvrecall {

// What a transaction changed, for those who are told after its commit.
struct Changes {
  int64_t events = 0;          // appended
  int64_t waiting = 0;         // samples in the queue, difference
  int64_t running = 0;         // samples leased, difference
  int64_t waiting_tokens = 0;  // estimated, of the samples in the queue
  int64_t held = 0;  // samples in the queue that are not waiting, difference
  SampleEnds ended;
  // That got events, once for each time.
  std::vector<std::string> runs;
  // What is known of those events, in their order; one for each of `runs` where
  // all are.
  std::vector<AppendedEvents> appended;

  void Add(const Changes& other);
};

// A lease by the database's keys.
struct LeaseKey {
  int64_t run = 0;
  int64_t sample = 0;
  int64_t attempt = 0;
};

class EventLog {
 public:
  explicit EventLog(Database* database) : database_(*database) {}

  // Appends events of a leased sample; `event.sequence`, `sample_id` and
  // `attempt` are not looked at. A SampleResult or SampleFailure ends the
  // sample, and its run where that was the last. Does nothing if the run has
  // ended. FailedPrecondition: the sample is not leased as `key` says.
  // `config` goes with the events, as AppendedEvents has it.
  absl::Status Append(const LeaseKey& key,
                      std::shared_ptr<const RunConfig> config,
                      std::shared_ptr<const std::vector<Event>> events,
                      absl::Time now, Changes& changes);

  // Fails all samples of the run that wait or run because its time is over,
  // with an event for each, in their order. One that never ran fails as
  // attempt 1.
  absl::Status FailOpenSamples(int64_t run, const SampleFailure& failure,
                               absl::Time now, Changes& changes);

  // Estimated tokens of the run's samples in the queue.
  absl::StatusOr<int64_t> QueuedTokens(int64_t run);

  // Appends RunEnd if no more samples will follow and all have ended.
  absl::Status EndRunIfOver(int64_t run, absl::Time now, Changes& changes);

  // Appends RunEnd with `state`, which must be terminal.
  absl::Status EndRun(int64_t run, RunState state, absl::Time now,
                      Changes& changes);

 private:
  absl::Status AppendStep(const LeaseKey& key, int64_t sequence,
                          const StepRecord& step);
  absl::Status AppendGaps(const LeaseKey& key, int64_t sequence,
                          const StepRecord& step);
  absl::Status AppendOther(const LeaseKey& key, int64_t sequence,
                           const Event& event);
  absl::Status Record(const LeaseKey& key, const SampleStart& start);
  absl::Status Record(const LeaseKey& key, const SampleResult& result,
                      absl::Time now);
  absl::Status Record(const LeaseKey& key, const SampleFailure& failure,
                      absl::Time now);

  // Writes the failure into the run's samples that have `state`; how many.
  absl::StatusOr<int64_t> FailSamplesIn(const char* state, int64_t run,
                                        const SampleFailure& failure,
                                        absl::Time now);

  Database& database_;
};

// InvalidArgument if the events could not be kept exactly, or not in this
// form: a number that is not finite, a step with other than `lanes` recalls or
// other than `gaps` gaps, a result with scores but not of all gaps, RunEnd, or
// an event after the sample's end. Pure.
absl::Status CheckEvents(const std::vector<Event>& events, size_t lanes,
                         size_t gaps);

// True if one of them ends the sample.
bool EndsSample(const std::vector<Event>& events);

}  // namespace kvrecall
