#pragma once

// `kvrecall-client cancel`: stop a run.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddCancelCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
