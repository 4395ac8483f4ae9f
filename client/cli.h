#pragma once

// The command line: reads it, runs the subcommand, reports its error.

#include "client/environment.h"
#include "client/interrupt.h"

namespace kvrecall {

// Returns the program's exit status (see commands/command.h). Writes at most
// one line of error, to the environment's error stream.
int RunCli(int argc, const char* const* argv, const Environment& environment,
           Interrupt& interrupt);

}  // namespace kvrecall
