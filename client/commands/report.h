#pragma once

// `kvrecall-client report`: a run as one HTML page.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddReportCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
