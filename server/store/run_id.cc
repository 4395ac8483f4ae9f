#include "server/store/run_id.h"

#include <algorithm>

namespace kvrecall {
namespace {

constexpr char kDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr int kTimeDigits = 10;
constexpr int kRandomDigits = 16;

}  // namespace

std::string RunIdGenerator::Next(absl::Time now) {
  last_milliseconds_ =
      std::max(absl::ToUnixMillis(now), last_milliseconds_ + 1);
  std::string id(kTimeDigits + kRandomDigits, '0');
  int64_t rest = last_milliseconds_;
  for (int i = kTimeDigits - 1; i >= 0; --i) {
    id[i] = kDigits[rest & 31];
    rest >>= 5;
  }
  std::uniform_int_distribution<int> digit(0, 31);
  for (int i = 0; i < kRandomDigits; ++i) {
    id[kTimeDigits + i] = kDigits[digit(random_)];
  }
  return id;
}

}  // namespace kvrecall
