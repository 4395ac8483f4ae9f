#include "server/telemetry/trigger.h"

#include "server/telemetry/splitmix64.h"

namespace kvrecall {
namespace {

constexpr uint64_t kTriggerStream = 0x74726967676572;  // "trigger"

// In [0, 1), by sample and step.
double Draw(uint64_t sample_key, int64_t step) {
  uint64_t state = SplitMix64(kTriggerStream);
  state = SplitMix64(state ^ sample_key);
  state = SplitMix64(state ^ static_cast<uint64_t>(step));
  return static_cast<double>(state >> 11) / 9007199254740992.0;  // 2⁵³
}

}  // namespace

Trigger::Trigger(const TriggerSpec& spec, uint64_t sample_key)
    : value_(spec.value), sample_key_(sample_key) {
  if (spec.name == "periodic") kind_ = Kind::kPeriodic;
  if (spec.name == "random") kind_ = Kind::kRandom;
}

bool Trigger::Fires(int64_t step, double previous_entropy) const {
  if (step == 1) return false;
  switch (kind_) {
    case Kind::kEntropy:
      return previous_entropy > value_;
    case Kind::kPeriodic:
      return (step - 1) % static_cast<int64_t>(value_) == 0;
    case Kind::kRandom:
      return Draw(sample_key_, step) < value_;
  }
  return false;
}

}  // namespace kvrecall
