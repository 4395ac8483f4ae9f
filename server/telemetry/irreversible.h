#pragma once

// Policies that lose positions for good, and the trigger that lets them choose
// anew: the dynamic recall that the study is about.

#include <optional>
#include <utility>

#include "server/telemetry/policy.h"
#include "server/telemetry/trigger.h"

namespace kvrecall {

class IrreversiblePolicy : public Policy {
 public:
  explicit IrreversiblePolicy(std::optional<Trigger> trigger)
      : trigger_(std::move(trigger)) {}

  bool irreversible() const final { return true; }
  bool TakesAnew(const StepView& view) const final {
    return view.step == 1 ||
           (trigger_ && trigger_->Fires(view.step, view.previous_entropy));
  }

 private:
  const std::optional<Trigger> trigger_;
};

}  // namespace kvrecall
