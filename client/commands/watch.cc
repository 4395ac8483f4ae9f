#include "client/commands/watch.h"

#include <memory>
#include <string>

#include "client/commands/attach.h"
#include "client/connection.h"
#include "client/watcher.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct WatchOptions {
  std::string run_id;
  bool json = false;
};

absl::StatusOr<int> Watch(const WatchOptions& options,
                          const CommandContext& context) {
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  ASSIGN_OR_RETURN(const RunInfo run, connection.GetRun(options.run_id));
  Watcher watcher(connection);
  const Interrupt::Scope scope(context.interrupt,
                               [&watcher] { watcher.Detach(); });
  return AttachAndReport(context, watcher, run, options.json);
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
