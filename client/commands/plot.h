#pragma once

// `kvrecall-client plot`: a run's figures as image files.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddPlotCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
