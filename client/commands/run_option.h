#pragma once

// What the commands that look at a recorded run share: which run, from where,
// and how it is analysed.

#include <string>

#include "absl/status/statusor.h"

#include "client/commands/command.h"
#include "common/analysis/run_analysis.h"
#include "common/analysis/run_table.h"
#include "common/record/run_info.h"

namespace kvrecall {

struct RunOption {
  std::string run_id;
  std::string database;  // --db; empty: the server
};

// Declares RUN and --db.
void AddRunOption(CLI::App& command, RunOption& option);
// Declares --db alone.
void AddDatabaseOption(CLI::App& command, std::string& database);

// Declares --seed and --resamples.
void AddBootstrapOptions(CLI::App& command, BootstrapOptions& options);
// The same, and --bins, --quantile-bins and --tau.
void AddAnalysisOptions(CLI::App& command, AnalysisOptions& options);

struct LoadedRun {
  RunInfo run;
  RunTable table;
};

// The run with all its steps. NotFound: there is no such run or file.
absl::StatusOr<LoadedRun> LoadRun(const RunOption& option,
                                  const CommandContext& context);

}  // namespace kvrecall
