#pragma once

// `kvrecall-client admin checkpoint`: empties the write-ahead log.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `admin`. Both arguments outlive the parsing and
// the run.
void AddAdminCheckpointCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
