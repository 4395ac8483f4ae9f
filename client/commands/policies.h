#pragma once

// `kvrecall-client policies`: the policies there are, and their triggers.

#include "client/commands/command.h"

namespace kvrecall {

// Declares the subcommand. Both arguments outlive the parsing and the run.
void AddPoliciesCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
