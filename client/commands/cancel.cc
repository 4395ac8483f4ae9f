#include "client/commands/cancel.h"

#include <memory>
#include <string>
#include <vector>

#include "client/placed_run.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> Cancel(const std::string& run_id,
                           const CommandContext& context) {
  ASSIGN_OR_RETURN(const auto servers, ConnectAll(context.server));
  ASSIGN_OR_RETURN(const std::vector<PlacedRun> runs,
                   FindRuns(servers, run_id));
  for (const PlacedRun& known : runs) {
    ASSIGN_OR_RETURN(const RunInfo run,
                     known.connection->CancelRun(known.info.run_id));
    *context.environment.out
        << "run " << run.run_id << ": " << RunStateName(run.state) << ", "
        << run.samples_done << " of " << run.samples_submitted
        << " samples done; their records stay" << std::endl;
  }
  return kExitOk;
}

}  // namespace

void AddCancelCommand(CLI::App& app, CommandContext& context) {
  auto run_id = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("cancel", "Stop a run; what is recorded stays");
  command->add_option("run", *run_id, "Name of the run")->required();
  command->callback([run_id, &context] {
    context.run = [run_id, &context] { return Cancel(*run_id, context); };
  });
}

}  // namespace kvrecall
