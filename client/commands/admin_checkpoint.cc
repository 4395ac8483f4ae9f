#include "client/commands/admin_checkpoint.h"

#include "client/connection.h"
#include "client/render/transfer_progress.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> Checkpoint(const CommandContext& context) {
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  ASSIGN_OR_RETURN(const v1::CheckpointResponse log, connection.Checkpoint());
  *context.environment.out << "log: " << BytesText(log.bytes_before())
                           << " before, " << BytesText(log.bytes_after())
                           << " now"
                           << (log.bytes_after() > 0
                                   ? "; somebody reads it all the while"
                                   : "")
                           << std::endl;
  return kExitOk;
}

}  // namespace

void AddAdminCheckpointCommand(CLI::App& group, CommandContext& context) {
  CLI::App* command = group.add_subcommand(
      "checkpoint", "Bring the write-ahead log into the database");
  command->callback(
      [&context] { context.run = [&context] { return Checkpoint(context); }; });
}

}  // namespace kvrecall
