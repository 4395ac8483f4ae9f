#pragma once

// `kvrecall-client admin backup`: a copy of the database, on the server.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `admin`. Both arguments outlive the parsing and
// the run.
void AddAdminBackupCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
