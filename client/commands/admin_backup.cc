#include "client/commands/admin_backup.h"

#include <memory>
#include <string>

#include "client/connection.h"
#include "client/render/transfer_progress.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> Backup(const std::string& path,
                           const CommandContext& context) {
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  ASSIGN_OR_RETURN(const v1::BackupResponse made, connection.Backup(path));
  *context.environment.out << path << ": " << BytesText(made.bytes())
                           << ", checked, on the server" << std::endl;
  return kExitOk;
}

}  // namespace

void AddAdminBackupCommand(CLI::App& group, CommandContext& context) {
  auto path = std::make_shared<std::string>();
  CLI::App* command = group.add_subcommand(
      "backup",
      "Write a copy of the database, while the server runs; Ctrl-C gives it up "
      "and leaves nothing");
  command
      ->add_option("path", *path,
                   "File on the server, absolute; it must not be there yet")
      ->required();
  command->callback([path, &context] {
    context.run = [path, &context] { return Backup(*path, context); };
  });
}

}  // namespace kvrecall
