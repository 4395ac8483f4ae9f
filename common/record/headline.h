#pragma once

// Which of a run's recalls stand for it: in the verdict, in the result table's
// bins, in the first plot. Thread-safe: no shared state.

#include <vector>

#include "common/record/run_config.h"

namespace kvrecall {

// `h2o` in scope `global`, or else the run's first policy and the first scope
// that it is defined in.
struct Headline {
  int policy = 0;          // index into RunConfig::policies
  int scope = 0;           // index into RunConfig::scopes
  std::vector<int> lanes;  // of both, into Lanes(config), in budget order
};

Headline HeadlineOf(const RunConfig& config);

}  // namespace kvrecall
