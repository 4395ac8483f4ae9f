#include "client/commands/runs.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "client/connection.h"
#include "client/render/result_table.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> ListRuns(int64_t limit, const CommandContext& context) {
  const Connection connection(context.server);
  ASSIGN_OR_RETURN(const std::vector<RunInfo> runs, connection.ListRuns(limit));
  *context.environment.out << RenderRuns(runs) << std::flush;
  return kExitOk;
}

}  // namespace

void AddRunsCommand(CLI::App& app, CommandContext& context) {
  auto limit = std::make_shared<int64_t>(50);
  CLI::App* command = app.add_subcommand("runs", "List the runs, newest first");
  command->add_option("--limit", *limit, "At most N runs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([limit, &context] {
    context.run = [limit, &context] { return ListRuns(*limit, context); };
  });
}

}  // namespace kvrecall
