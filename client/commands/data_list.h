#pragma once

// `kvrecall-client data list`: which of LongBench's files are there.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `data`. Both arguments outlive the parsing and
// the run.
void AddDataListCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
