#include "server/store/run_id.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "common/record/run_id_text.h"

namespace kvrecall {

std::string RunIdGenerator::Next(absl::Time now) {
  last_milliseconds_ =
      std::max(absl::ToUnixMillis(now), last_milliseconds_ + 1);
  std::uniform_int_distribution<int> digit(0, 31);
  std::array<uint8_t, kRunIdDigits> digits;
  for (uint8_t& d : digits) d = static_cast<uint8_t>(digit(random_));
  return RunIdText(last_milliseconds_, digits);
}

}  // namespace kvrecall
