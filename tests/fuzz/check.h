#pragma once

// What the targets check with, and how they take inputs apart.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvrecall {

// Ends the process, with `what` on standard error, where it does not hold.
void Require(bool holds, const char* what);

// Text for people: well-formed UTF-8 in one line, without control characters,
// and not without end.
void RequireOneLine(std::string_view text);

// That an error says something, in such a line.
void RequireReadable(const absl::Status& status);

// An input from its begin. What is missing at its end reads as zeros.
class InputBytes {
 public:
  explicit InputBytes(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte();
  // Little-endian.
  uint16_t Short();
  int64_t Number();
  double Real();
  // Of `length` bytes, or those that are left.
  std::string_view Text(size_t length);
  // Up to the next 0xFF, which is no byte of a text and is skipped; or all.
  std::string_view Part();
  std::string_view Rest();

 private:
  std::string_view rest_;
};

}  // namespace kvrecall
