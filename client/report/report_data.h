#pragma once

// Everything that a report tells, read from a database file. One thread at a
// time.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

#include "client/report/token_map.h"
#include "client/summary.h"
#include "common/analysis/run_table.h"
#include "common/record/run_info.h"

namespace kvrecall {

struct ReportData {
  RunInfo run;
  RunTable table;
  RunSummary summary;
  TokenMap tokens;
  // Those with records, and how many of them `tokens` has: the first.
  int64_t samples = 0, shown = 0;
};

// `shown`: samples to be shown token by token, at most. NotFound: no such file
// or run. FailedPrecondition: the run has no step yet. DataLoss: the file is
// damaged.
absl::StatusOr<ReportData> ReadReportData(const std::string& database,
                                          const std::string& run_id,
                                          int64_t shown);

}  // namespace kvrecall
