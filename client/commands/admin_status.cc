#include "client/commands/admin_status.h"

#include <memory>

#include "client/connection.h"
#include "client/export/status_json.h"
#include "client/render/status_text.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::StatusOr<int> ShowStatus(bool json, const CommandContext& context) {
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  ASSIGN_OR_RETURN(const v1::ServerStatus status, connection.GetStatus());
  std::ostream& out = *context.environment.out;
  if (json) {
    out << StatusToJson(status).dump() << std::endl;
  } else {
    out << RenderStatus(status) << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddAdminStatusCommand(CLI::App& group, CommandContext& context) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = group.add_subcommand(
      "status", "Queue, database and disk of the server, and their limits");
  command->add_flag("--json", *json, "Print one JSON object");
  command->callback([json, &context] {
    context.run = [json, &context] { return ShowStatus(*json, context); };
  });
}

}  // namespace kvrecall
