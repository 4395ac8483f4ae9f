#pragma once

// Names of runs: 26 characters as a ULID's, in lower case (Crockford's base
// 32): 48 bits of milliseconds, then 80 random bits. One thread at a time.

#include <cstdint>
#include <random>
#include <string>

#include "absl/time/time.h"

namespace kvrecall {

class RunIdGenerator {
 public:
  // Each name sorts after the ones before, also within a millisecond and when
  // the clock is set back.
  std::string Next(absl::Time now);

 private:
  std::random_device random_;
  int64_t last_milliseconds_ = 0;
};

}  // namespace kvrecall
