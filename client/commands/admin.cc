#include "client/commands/admin.h"

#include "client/commands/admin_backup.h"
#include "client/commands/admin_checkpoint.h"
#include "client/commands/admin_delete.h"
#include "client/commands/admin_drain.h"
#include "client/commands/admin_status.h"

namespace kvrecall {

void AddAdminCommand(CLI::App& app, CommandContext& context) {
  CLI::App* group = app.add_subcommand(
      "admin", "For the server's operator: status, deletion, backup, drain");
  group->require_subcommand(1);
  AddAdminStatusCommand(*group, context);
  AddAdminDeleteCommand(*group, context);
  AddAdminBackupCommand(*group, context);
  AddAdminCheckpointCommand(*group, context);
  AddAdminDrainCommand(*group, context);
}

}  // namespace kvrecall
