#pragma once

// `kvrecall-client tasks`: the tasks there are, and where their samples lie.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddTasksCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
