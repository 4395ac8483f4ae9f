#pragma once

// `kvrecall-client data pull`: downloads LongBench's files.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `data`. Both arguments outlive the parsing and
// the run.
void AddDataPullCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
