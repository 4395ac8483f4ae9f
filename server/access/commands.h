#pragma once

// The subcommands of kvrecall-server that serve nothing: `init`, `token` and
// `certificate`, which keep the folder that --access names.

#include <ostream>

#include "absl/status/statusor.h"

namespace kvrecall {

// Whether the command line asks for one of them.
bool IsAccessCommand(int argc, const char* const* argv);

// Does it; what it has to say goes to `out`. InvalidArgument: a wrong command
// line. Else as AccessFolder fails.
absl::Status RunAccessCommand(int argc, const char* const* argv,
                              std::ostream& out);

}  // namespace kvrecall
