#pragma once

// Keeps the number of a label's values bounded: the first few that come keep
// their name, the rest share one. Not thread-safe.

#include <cstddef>
#include <set>
#include <string>

namespace kvrecall {

class LabelLimit {
 public:
  explicit LabelLimit(size_t limit) : limit_(limit) {}

  // `value`, or "other" if that would be one value too many.
  std::string Admit(const std::string& value) {
    if (!admitted_.contains(value)) {
      if (admitted_.size() >= limit_) return "other";
      admitted_.insert(value);
    }
    return value;
  }

 private:
  const size_t limit_;
  std::set<std::string> admitted_;
};

}  // namespace kvrecall
