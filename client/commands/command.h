#pragma once

// What the subcommands share. One subcommand is one file pair with an Add…
// function, which declares its options and what it does.

#include <functional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"

#include "client/environment.h"
#include "client/interrupt.h"
#include "client/server_target.h"

namespace kvrecall {

// What the program's exit status says.
enum ExitCode : int {
  kExitOk = 0,
  kExitRunFailed = 1,  // the run, or some of its samples
  kExitUsage = 2,      // what the user gave is wrong
  kExitError = 3,      // no server, no connection, no disk, …
  kExitInterrupted = 130,
};

// Options and surroundings of one invocation. Outlives the parser's callbacks.
struct CommandContext {
  const Environment& environment;
  Interrupt& interrupt;
  ServerChoice server;  // as options and environment say
  // Set by the subcommand that was named; called once, after parsing.
  std::function<absl::StatusOr<int>()> run;
};

// "kvrecall-client watch RUN", with the server where it is not the default
// one: what to type to come back to a run.
std::string CommandFor(const CommandContext& context, const char* command,
                       const std::string& run_id);

}  // namespace kvrecall
