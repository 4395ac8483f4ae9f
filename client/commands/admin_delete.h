#pragma once

// `kvrecall-client admin delete`: deletes runs.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `admin`. Both arguments outlive the parsing and
// the run.
void AddAdminDeleteCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
