#pragma once

// `kvrecall-client health`: whether the server serves, for containers and
// scripts.

#include "client/commands/command.h"

namespace kvrecall {

void AddHealthCommand(CLI::App& app, CommandContext& context);

}  // namespace kvrecall
