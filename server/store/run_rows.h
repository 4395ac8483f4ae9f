#pragma once

// The statements that make runs and look them up. All methods run on the writer
// thread, inside one of its transactions; `now` is the time that is recorded.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/run_info.h"
#include "common/records_db/sqlite.h"
#include "server/store/run_id.h"
#include "server/store/store.h"

namespace kvrecall {

// Of a run, what its samples are queued by.
struct RunRow {
  int64_t id = 0;
  std::string state;
  bool complete = false;
  bool ended = false;
  std::string owner, config, provenance;
  int64_t max_new_tokens = 0;
};

// When the time limit of a run passes that has not ended.
struct OpenDeadline {
  std::string run_id;
  absl::Time time;
};

class RunRows {
 public:
  explicit RunRows(Database* database) : database_(*database) {}

  // As Store::CreateRun.
  absl::StatusOr<RunInfo> Create(const NewRun& run, absl::Time now);
  // NotFound.
  absl::StatusOr<RunRow> Find(const std::string& run_id);
  // Runs that have not ended, but for those that cannot be read, whose samples
  // fail when they are leased.
  absl::StatusOr<std::vector<RunInfo>> Open();
  absl::StatusOr<std::vector<OpenDeadline>> OpenDeadlines();

 private:
  absl::Status InsertLanes(int64_t run, const RunConfig& config);

  Database& database_;
  RunIdGenerator run_ids_;
};

}  // namespace kvrecall
