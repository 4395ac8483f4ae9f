#pragma once

// One row's selection on the CPU. Scores become 32-bit keys in the same order;
// passes that count keys above a guess narrow down where the K-th must be, for
// all K together, and only the few positions that are left are compared
// exactly.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "server/cpu/row_kernels.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

// Between passes over the keys: where the key of the last position inside is.
struct KeyBracket {
  int64_t wanted = 0;  // how many of the scores the set holds
  // Keys ≥ low: at least `wanted`; keys > high: fewer.
  uint32_t low = 0, high = 0;
  int64_t at_least_low = 0, above_high = 0;

  bool done() const;
  // Takes in how many keys are at least `pivot`.
  void Narrow(uint32_t pivot, int64_t count);
  // Where the key should be if keys were spread evenly between the bounds, or
  // the middle, which halves whatever they are; in low + 1 … high.
  uint32_t Guess(bool even) const;
};

// Buffers are kept between rows: a step selects many. One object per thread.
template <typename T>
class RowSelection {
 public:
  // masks[j] gets bits[b] for the wanted[b] best of `count` scores; its other
  // bits stay. wanted: 0 … count each, at most kMostBudgets. `rounded`: the
  // scores in float32, or null. Scores: no NaN.
  void Select(const T* scores, const float* rounded, int64_t count,
              std::span<const int64_t> wanted, std::span<const uint16_t> bits,
              uint16_t* masks);

 private:
  void MakeKeys(const float* rounded, std::span<const int64_t> wanted);
  void NarrowBrackets();
  void NarrowBySample();
  void CountAndNarrow(const uint32_t* pivots, int asked);
  bool Before(int32_t a, int32_t b) const;
  uint32_t FindThreshold(size_t b);
  void ExcludeEqualKeys(size_t b, uint32_t threshold, uint16_t bit,
                        uint16_t* masks) const;

  const cpu::RowKernels& kernels_ = cpu::BestRowKernels();
  const T* scores_ = nullptr;
  int64_t count_ = 0;
  std::vector<uint32_t> keys_;
  std::vector<KeyBracket> brackets_;
  std::array<std::vector<int32_t>, kMostBudgets> left_;
  std::array<int32_t, kMostBudgets> last_ = {};
};

}  // namespace kvrecall
