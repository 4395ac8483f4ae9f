#include "common/longbench/code_similarity.h"

#include <cmath>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

class BlockMatcher {
 public:
  BlockMatcher(std::u32string_view a, std::u32string_view b) : a_(a), b_(b) {
    for (size_t j = 0; j < b.size(); ++j) places_[b[j]].push_back(j);
    constexpr size_t kLong = 200;
    if (b.size() < kLong) return;
    const size_t most = b.size() / 100 + 1;
    std::erase_if(
        places_, [&](const auto& entry) { return entry.second.size() > most; });
  }

  // Characters in matching blocks.
  size_t Matches() const {
    size_t matches = 0;
    std::vector<Range> open = {{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const Range range = open.back();
      open.pop_back();
      const Block block = Longest(range);
      if (block.size == 0) continue;
      matches += block.size;
      open.push_back({range.a_begin, block.a, range.b_begin, block.b});
      open.push_back({block.a + block.size, range.a_end, block.b + block.size,
                      range.b_end});
    }
    return matches;
  }

 private:
  struct Range {
    size_t a_begin, a_end, b_begin, b_end;
  };
  struct Block {
    size_t a, b, size;
  };

  // The longest block that begins with a character that may start one, then
  // grown at both ends over any that are equal.
  Block Longest(const Range& range) const {
    Block best = {range.a_begin, range.b_begin, 0};
    // Of blocks that end before place i of a, at place j of b: their lengths.
    std::unordered_map<size_t, size_t> lengths;
    for (size_t i = range.a_begin; i < range.a_end; ++i) {
      std::unordered_map<size_t, size_t> next;
      if (const auto found = places_.find(a_[i]); found != places_.end())
        for (const size_t j : found->second) {
          if (j < range.b_begin) continue;
          if (j >= range.b_end) break;
          const auto before = lengths.find(j);
          const size_t length =
              (before == lengths.end() ? 0 : before->second) + 1;
          next[j + 1] = length;
          if (length > best.size)
            best = {i + 1 - length, j + 1 - length, length};
        }
      lengths = std::move(next);
    }
    while (best.a > range.a_begin && best.b > range.b_begin &&
           a_[best.a - 1] == b_[best.b - 1]) {
      --best.a;
      --best.b;
      ++best.size;
    }
    while (best.a + best.size < range.a_end &&
           best.b + best.size < range.b_end &&
           a_[best.a + best.size] == b_[best.b + best.size])
      ++best.size;
    return best;
  }

  const std::u32string_view a_, b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;  // in b
};

}  // namespace

double CodeSimilarity(std::string_view prediction, std::string_view truth) {
  const std::u32string a = DecodeUtf8(prediction), b = DecodeUtf8(truth);
  if (a == b) return 1;
  if (a.empty() || b.empty()) return 0;
  const double ratio = 2.0 * static_cast<double>(BlockMatcher(a, b).Matches()) /
                       static_cast<double>(a.size() + b.size());
  return std::nearbyint(100 * ratio) / 100;
}

}  // namespace kvrecall
