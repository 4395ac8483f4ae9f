#pragma once

// `kvrecall-client admin`: what keeps a server in order.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand and those below it. Both arguments outlive the
// parsing and the run.
void AddAdminCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
