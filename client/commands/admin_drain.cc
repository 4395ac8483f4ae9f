#include "client/commands/admin_drain.h"

#include <memory>
#include <string>

#include "client/connection.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> Drain(const std::string& reason,
                          const CommandContext& context) {
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  RETURN_IF_ERROR(connection.Drain(reason));
  *context.environment.out << "the server at " << connection.address()
                           << " takes no new work, and ends after the sample "
                              "that runs"
                           << std::endl;
  return kExitOk;
}

}  // namespace

void AddAdminDrainCommand(CLI::App& group, CommandContext& context) {
  auto reason = std::make_shared<std::string>("asked for by kvrecall-client");
  CLI::App* command = group.add_subcommand(
      "drain", "Have the server end, as SIGTERM does; what waits stays queued");
  command->add_option("--reason", *reason, "For the server's log")
      ->capture_default_str();
  command->callback([reason, &context] {
    context.run = [reason, &context] { return Drain(*reason, context); };
  });
}

}  // namespace kvrecall
