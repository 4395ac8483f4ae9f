#pragma once

// The parts of a progress bar, whatever it is that progresses. Thread-safe: no
// shared state.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace kvrecall {

// "0:42", "12:05", "3:07:00": to the second.
std::string ClockText(absl::Duration duration);

// "ETA 0:42", "ETA 3:07:00"; "ETA –" where it is not known.
std::string EtaText(std::optional<absl::Duration> remaining);

// "[=====>    ] PART  PART" in at most `columns` columns: the bar shrinks
// first, then parts fall away from the right, the first one last. The bar is
// that of done/total; empty where the total is 0.
std::string DrawBar(int columns, int64_t done, int64_t total,
                    const std::vector<std::string>& parts);

}  // namespace kvrecall
