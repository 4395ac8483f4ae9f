#pragma once

// `kvrecall-client show`: all that is known of a run, and its result.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddShowCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
