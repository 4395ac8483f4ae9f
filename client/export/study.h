#pragma once

// A run in the study's directory structure: for each budget a folder
// results/<task>_budget_<budget> with logs.json, entropy and recall of every
// step, and plots/ beside it. Recall is that of the verdict's policy and scope.

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/analysis/run_table.h"
#include "common/record/run_info.h"

namespace kvrecall {

// Draws a run's figures into a folder, which is there.
using DrawFigures = std::function<absl::Status(const RunTable& table,
                                               const std::string& folder)>;

// Writes below `folder`; returns the folders made, one a line. `draw` gets the
// table of one budget each. AlreadyExists: a logs.json is there, unless
// `overwrite`. InvalidArgument: a folder or file cannot be made.
absl::StatusOr<std::string> ExportStudy(const RunInfo& run,
                                        const RunTable& table,
                                        const std::string& folder,
                                        bool overwrite,
                                        const DrawFigures& draw);

}  // namespace kvrecall
