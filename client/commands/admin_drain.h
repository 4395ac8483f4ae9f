#pragma once

// `kvrecall-client admin drain`: has the server end.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `admin`. Both arguments outlive the parsing and
// the run.
void AddAdminDrainCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
