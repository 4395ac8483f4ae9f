#pragma once

// `kvrecall-client data`: LongBench's files on this machine. No server.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand and those below it. Both arguments outlive the
// parsing and the run.
void AddDataCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
