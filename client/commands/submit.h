#pragma once

// `kvrecall-client submit`: samples of a task to a new run.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddSubmitCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
