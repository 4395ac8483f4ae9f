#pragma once

// A run as one page that needs nothing but a browser: verdict first, then
// figures, tables, provenance, and the generated texts token by token.
// Thread-safe: no shared state. The same run gives the same page.

#include <string>

#include "absl/status/statusor.h"

#include "client/report/report_data.h"
#include "common/analysis/run_analysis.h"

namespace kvrecall {

// HTML, whole. FailedPrecondition: there is no gnuplot. ResourceExhausted: no
// room for what gnuplot writes in passing.
absl::StatusOr<std::string> RenderReport(const ReportData& data,
                                         const RunAnalysis& analysis);

}  // namespace kvrecall
