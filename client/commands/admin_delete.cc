#include "client/commands/admin_delete.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"

#include "client/connection.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct DeleteOptions {
  std::vector<std::string> runs;
  bool yes = false;
};

// Asked only where somebody sits who can answer.
bool IsConfirmed(const DeleteOptions& options, const Environment& environment) {
  if (options.yes || !environment.in_is_terminal) return true;
  *environment.err << "delete " << absl::StrJoin(options.runs, ", ")
                   << " and all that was recorded? [y/N] " << std::flush;
  std::string answer;
  std::getline(*environment.in, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

absl::StatusOr<int> DeleteRuns(const DeleteOptions& options,
                               const CommandContext& context) {
  if (!IsConfirmed(options, context.environment)) {
    *context.environment.err << "nothing was deleted" << std::endl;
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  for (const std::string& run : options.runs) {
    ASSIGN_OR_RETURN(const v1::DeleteRunResponse deleted,
                     connection.DeleteRun(run));
    *context.environment.out << "run " << run << ": deleted, with "
                             << deleted.samples() << " samples and "
                             << deleted.events() << " events" << std::endl;
  }
  return kExitOk;
}

}  // namespace

void AddAdminDeleteCommand(CLI::App& group, CommandContext& context) {
  auto options = std::make_shared<DeleteOptions>();
  CLI::App* command = group.add_subcommand(
      "delete", "Delete runs that have ended, with their records");
  command->add_option("runs", options->runs, "Names of the runs")->required();
  command->add_flag("--yes", options->yes,
                    "Do not ask (in a terminal; elsewhere nobody is asked)");
  command->callback([options, &context] {
    context.run = [options, &context] { return DeleteRuns(*options, context); };
  });
}

}  // namespace kvrecall
