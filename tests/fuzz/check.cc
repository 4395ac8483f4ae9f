#include "tests/fuzz/check.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>

#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

// Of trailers, in which a status travels, gRPC takes no more than 8 KiB.
constexpr size_t kLongestMessage = 2048;

template <typename T>
T LittleEndian(std::string_view bytes) {
  T value = 0;
  for (size_t i = 0; i < bytes.size(); ++i)
    value |= static_cast<T>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  return value;
}

bool IsControl(unsigned char c) { return c < 0x20 || c == 0x7F; }

}  // namespace

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

void RequireOneLine(std::string_view text) {
  if (!FirstInvalidUtf8(text) && text.size() <= kLongestMessage &&
      std::none_of(text.begin(), text.end(), IsControl))
    return;
  std::fprintf(stderr, "a message of %zu bytes: %.*s\n", text.size(),
               static_cast<int>(std::min(text.size(), kLongestMessage)),
               text.data());
  Require(false, "a message is one short line");
}

void RequireReadable(const absl::Status& status) {
  if (status.ok()) return;
  Require(!status.message().empty(), "an error says something");
  RequireOneLine({status.message().data(), status.message().size()});
}

uint8_t InputBytes::Byte() { return LittleEndian<uint8_t>(Text(1)); }

uint16_t InputBytes::Short() { return LittleEndian<uint16_t>(Text(2)); }

int64_t InputBytes::Number() {
  return static_cast<int64_t>(LittleEndian<uint64_t>(Text(8)));
}

double InputBytes::Real() {
  return std::bit_cast<double>(LittleEndian<uint64_t>(Text(8)));
}

std::string_view InputBytes::Text(size_t length) {
  const std::string_view text = rest_.substr(0, length);
  rest_.remove_prefix(text.size());
  return text;
}

std::string_view InputBytes::Part() {
  const std::string_view part = Text(rest_.find('\xFF'));
  Text(1);
  return part;
}

std::string_view InputBytes::Rest() { return Text(rest_.size()); }

}  // namespace kvrecall
