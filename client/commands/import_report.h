#pragma once

// What `data add` and `data pull` share.

#include <string>
#include <vector>

#include "client/commands/command.h"

namespace kvrecall {

// The folder that is written to: the one that the user named, or the user's
// data folder.
std::string TargetFolder(const std::string& data,
                         const CommandContext& context);

// Imports and prints what was imported. An interrupt that is requested
// meanwhile ends it; the caller holds the Interrupt::Scope. Fails as ImportData
// does.
absl::Status ImportAndReport(const std::vector<std::string>& paths,
                             const std::string& folder, bool replace,
                             const CommandContext& context);

}  // namespace kvrecall
