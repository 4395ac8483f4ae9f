#pragma once

// Where a finished or growing run is read from: a server, or a database file on
// this machine. One thread at a time.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/server_target.h"
#include "common/record/record.h"
#include "common/record/run_info.h"
#include "common/records_db/event_page.h"

namespace kvrecall {

class RunSource {
 public:
  virtual ~RunSource() = default;

  // NotFound: there is no such run.
  virtual absl::StatusOr<RunInfo> GetRun(const std::string& run_id) = 0;

  // Newest first, up to `limit` runs.
  virtual absl::StatusOr<std::vector<RunInfo>> ListRuns(int64_t limit) = 0;

  // Calls `visit` for the run's committed events from the first to
  // `last_sequence`. Stops at visit's first error. What `parts` leaves out may
  // be missing.
  virtual absl::Status ReadRecords(
      const std::string& run_id, int64_t last_sequence, const EventParts& parts,
      const std::function<absl::Status(const Event&)>& visit) = 0;
};

// Of a server, or of several among which studies were divided (a study is then
// named by its runs, with commas between), or, where `database` is not empty,
// of that file. NotFound: no such file. Else as ReadTarget fails.
absl::StatusOr<std::unique_ptr<RunSource>> OpenRunSource(
    const ServerChoice& server, const std::string& database);

}  // namespace kvrecall
