#pragma once

// kvrecall-server --check-config: what a start with these options would refuse,
// all of it at once, found without reading weights and without changing
// anything.

#include <string>
#include <utility>
#include <vector>

#include "server/options.h"

namespace kvrecall {

struct ConfigReport {
  // A line each; none: a server would serve.
  std::vector<std::string> problems;
  // What it would serve with: a word, and what there is to say of it.
  std::vector<std::pair<std::string, std::string>> summary;
};

// One thread. Ports are bound for a moment; a server that is about to start on
// the same database may find it locked in that moment.
ConfigReport CheckConfig(const ServerOptions& options);

}  // namespace kvrecall
