#pragma once

// `kvrecall-client export`: a run's records for other programs.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddExportCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
