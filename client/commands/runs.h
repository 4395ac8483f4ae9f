#pragma once

// `kvrecall-client runs`: the runs of a server, newest first.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddRunsCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
