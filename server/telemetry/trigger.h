#pragma once

// When an irreversible policy takes its set anew. Immutable.

#include <cstdint>

#include "common/record/policy_spec.h"

namespace kvrecall {

class Trigger {
 public:
  // `spec` must have passed CompletePolicySpec. `sample_key`: first 8 bytes of
  // the sample key.
  Trigger(const TriggerSpec& spec, uint64_t sample_key);

  // Whether it fires before step t; never at step 1. `previous_entropy` is
  // H_{t−1} in nats.
  bool Fires(int64_t step, double previous_entropy) const;

 private:
  enum class Kind { kEntropy, kPeriodic, kRandom };
  Kind kind_ = Kind::kEntropy;
  double value_ = 0;
  uint64_t sample_key_ = 0;
};

}  // namespace kvrecall
