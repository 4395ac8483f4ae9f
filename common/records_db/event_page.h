#pragma once

// Events of a run from the four tables that keep them. For any connection, in
// one read transaction of the caller's.

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {

// What of an event may be left out, because it costs time to read.
struct EventParts {
  bool lost = true;  // RecallRecord::lost
};

// The events `after` + 1 … `last` of the run with key `run`, which has them.
// `run_id` is for messages. DataLoss: one is missing, is there twice or does
// not fit.
absl::StatusOr<std::vector<Event>> ReadEventPage(Database& database,
                                                 std::string_view run_id,
                                                 int64_t run, int64_t after,
                                                 int64_t last,
                                                 const EventParts& parts);

}  // namespace kvrecall
