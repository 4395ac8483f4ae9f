#pragma once

// `kvrecall-client compare`: runs side by side.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddCompareCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
