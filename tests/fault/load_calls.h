#pragma once

// Calls of SubmitSamples as no good client makes them. Each returns what
// kvrecall-load prints of it.

#include <cstdint>
#include <string>

#include "tests/fault/load_figures.h"

namespace kvrecall {

// Short samples of a new run, one a call, all at once.
struct Burst {
  int samples = 1;
  int connections = 1;
  int steps = 1;            // of each sample
  bool stays_open = false;  // the run is not said to be complete
};
// The run's name, how many samples had each outcome, and how long their calls
// took.
Json SubmitAtOnce(const std::string& address, const Burst& burst);

// Calls that must be refused, one after another, while somebody else asks
// after the run again and again.
struct Flood {
  int64_t text_bytes = 0;     // of the one sample's context
  int64_t empty_samples = 0;  // in one call
  int calls = 1;
};
Json SendFlood(const std::string& address, const std::string& run_id,
               const Flood& flood);

}  // namespace kvrecall
