#include "client/commands/watch.h"

#include <memory>
#include <string>
#include <vector>

#include "client/commands/attach.h"
#include "client/group_watcher.h"
#include "client/placed_run.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct WatchOptions {
  std::string run_id;
  bool json = false;
};

absl::StatusOr<int> Watch(const WatchOptions& options,
                          const CommandContext& context) {
  ASSIGN_OR_RETURN(const auto servers, ConnectAll(context.server));
  ASSIGN_OR_RETURN(const std::vector<PlacedRun> runs,
                   FindRuns(servers, options.run_id));
  GroupWatcher watcher(runs);
  const Interrupt::Scope scope(context.interrupt,
                               [&watcher] { watcher.Detach(); });
  return AttachAndReport(context, watcher, runs, options.json);
}

}  // namespace

void AddWatchCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<WatchOptions>();
  CLI::App* command = app.add_subcommand(
      "watch", "Follow a run to its end and show the result");
  command->add_option("run", options->run_id, "Name of the run")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Watch(*options, context); };
  });
}

}  // namespace kvrecall
