#pragma once

// `kvrecall-client data add`: takes LongBench's files over.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `data`. Both arguments outlive the parsing and
// the run.
void AddDataAddCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
