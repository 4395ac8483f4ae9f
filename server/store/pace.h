#pragma once

// How fast samples end, for who has to wait. One thread at a time.

#include <algorithm>
#include <cstdint>

#include "absl/time/time.h"

namespace kvrecall {

class Pace {
 public:
  // `count` samples have ended.
  void Ended(int64_t count, absl::Time now) {
    if (count <= 0) return;
    if (last_ != absl::InfinitePast()) {
      const absl::Duration each = std::min((now - last_) / count, kMost);
      // A mean over the last few.
      each_ = each_ == absl::ZeroDuration() ? each : each_ * 0.75 + each * 0.25;
    }
    last_ = now;
  }

  // Nothing is left to do: the time until the next one says nothing.
  void Pause() { last_ = absl::InfinitePast(); }

  // Until the next one ends: from half a second to a minute.
  absl::Duration TimeForOne() const {
    if (each_ == absl::ZeroDuration()) return kUnknown;
    return std::clamp(each_, absl::Milliseconds(500), kMost);
  }

 private:
  static constexpr absl::Duration kUnknown = absl::Seconds(5);
  static constexpr absl::Duration kMost = absl::Minutes(1);

  absl::Time last_ = absl::InfinitePast();
  absl::Duration each_ = absl::ZeroDuration();
};

}  // namespace kvrecall
