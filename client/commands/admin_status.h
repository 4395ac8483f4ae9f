#pragma once

// `kvrecall-client admin status`: how the server stands.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand of `admin`. Both arguments outlive the parsing and
// the run.
void AddAdminStatusCommand(CLI::App& group, CommandContext& context);

}  // namespace kvrecall
