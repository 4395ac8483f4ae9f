#include "common/record/run_id_text.h"

namespace kvrecall {
namespace {

constexpr char kDigits[] = "0123456789abcdefghjkmnpqrstvwxyz";
constexpr int kTimeDigits = 10;

}  // namespace

std::string RunIdText(int64_t milliseconds,
                      std::span<const uint8_t, kRunIdDigits> digits) {
  std::string id(kTimeDigits, '0');
  for (int i = kTimeDigits - 1; i >= 0; --i) {
    id[i] = kDigits[milliseconds & 31];
    milliseconds >>= 5;
  }
  for (const uint8_t digit : digits) id.push_back(kDigits[digit & 31]);
  return id;
}

}  // namespace kvrecall
