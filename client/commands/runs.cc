#include "client/commands/runs.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "client/commands/run_option.h"
#include "client/render/result_table.h"
#include "client/run_source.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct RunsOptions {
  int64_t limit = 50;
  std::string database;
};

absl::StatusOr<int> ListRuns(const RunsOptions& options,
                             const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RunSource> source,
                   OpenRunSource(context.server, options.database));
  ASSIGN_OR_RETURN(const std::vector<RunInfo> runs,
                   source->ListRuns(options.limit));
  *context.environment.out << RenderRuns(runs) << std::flush;
  return kExitOk;
}

}  // namespace

void AddRunsCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<RunsOptions>();
  CLI::App* command = app.add_subcommand("runs", "List the runs, newest first");
  command->add_option("--limit", options->limit, "At most N runs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  AddDatabaseOption(*command, options->database);
  command->callback([options, &context] {
    context.run = [options, &context] { return ListRuns(*options, context); };
  });
}

}  // namespace kvrecall
