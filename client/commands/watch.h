#pragma once

// `kvrecall-client watch`: follow a run to its end.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddWatchCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
