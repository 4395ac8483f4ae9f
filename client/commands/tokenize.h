#pragma once

// `kvrecall-client tokenize`: a text as the server's model reads it.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddTokenizeCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
