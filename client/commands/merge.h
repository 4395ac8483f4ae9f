#pragma once

// `kvrecall-client merge`: database files of one study as one.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddMergeCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
