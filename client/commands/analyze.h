#pragma once

// `kvrecall-client analyze`: what a run says, with intervals and a verdict.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddAnalyzeCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
