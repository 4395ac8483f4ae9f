#pragma once

// `kvrecall-client pull`: a run into a database file on this machine.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddPullCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
