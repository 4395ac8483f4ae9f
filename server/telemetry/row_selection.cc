#include "server/telemetry/row_selection.h"

#include <algorithm>
#include <functional>
#include <type_traits>

#include "server/cpu/kernels.h"

namespace kvrecall {
namespace {

// Few enough positions to compare exactly.
constexpr int64_t kFew = 128;
constexpr int64_t kSample = 64;
// No score has this key.
constexpr uint32_t kAboveAll = 0xffffffffu;

}  // namespace

bool KeyBracket::done() const {
  return wanted <= 0 || low == high || at_least_low - above_high <= kFew;
}

void KeyBracket::Narrow(uint32_t pivot, int64_t count) {
  if (wanted <= 0 || pivot <= low || pivot > high) return;
  if (count >= wanted) {
    low = pivot;
    at_least_low = count;
  } else {
    high = pivot - 1;
    above_high = count;
  }
}

uint32_t KeyBracket::Guess(bool even) const {
  const uint32_t width = high - low;
  const double part = even ? static_cast<double>(at_least_low - wanted) /
                                 static_cast<double>(at_least_low - above_high)
                           : 0.5;
  return low + std::clamp<uint32_t>(
                   static_cast<uint32_t>(part * static_cast<double>(width)), 1,
                   width);
}

template <typename T>
void RowSelection<T>::Select(const T* scores, const float* rounded,
                             int64_t count, std::span<const int64_t> wanted,
                             std::span<const uint16_t> bits, uint16_t* masks) {
  scores_ = scores;
  count_ = count;
  if (count == 0) return;
  MakeKeys(rounded, wanted);
  NarrowBrackets();
  const size_t budgets = wanted.size();
  std::array<uint32_t, kMostBudgets> thresholds;
  for (size_t b = 0; b < budgets; ++b) thresholds[b] = FindThreshold(b);
  kernels_.mark_at_least(keys_.data(), count_, thresholds.data(), bits.data(),
                         static_cast<int>(budgets), masks);
  for (size_t b = 0; b < budgets; ++b)
    ExcludeEqualKeys(b, thresholds[b], bits[b], masks);
}

template <typename T>
void RowSelection<T>::MakeKeys(const float* rounded,
                               std::span<const int64_t> wanted) {
  keys_.resize(static_cast<size_t>(count_));
  uint32_t lowest = 0, highest = 0;
  if (rounded != nullptr)
    kernels_.keys_of_floats(rounded, count_, keys_.data(), &lowest, &highest);
  else if constexpr (std::is_same_v<T, double>)
    kernels_.keys_of_doubles(scores_, count_, keys_.data(), &lowest, &highest);
  else
    kernels_.keys_of_floats(scores_, count_, keys_.data(), &lowest, &highest);
  brackets_.clear();
  for (const int64_t k : wanted)
    brackets_.push_back({k, lowest, highest, count_, 0});
}

template <typename T>
void RowSelection<T>::NarrowBrackets() {
  NarrowBySample();
  std::array<uint32_t, kMostBudgets> pivots;
  for (bool even = true;; even = !even) {
    int asked = 0;
    for (const KeyBracket& bracket : brackets_)
      if (!bracket.done()) pivots[asked++] = bracket.Guess(even);
    if (asked == 0) return;
    CountAndNarrow(pivots.data(), asked);
  }
}

// Around the places where an evenly drawn sample has the wanted ranks.
template <typename T>
void RowSelection<T>::NarrowBySample() {
  if (count_ < 8 * kSample) return;
  std::array<uint32_t, kSample> sample;
  for (int64_t i = 0; i < kSample; ++i) sample[i] = keys_[i * count_ / kSample];
  std::sort(sample.begin(), sample.end(), std::greater<>());
  constexpr int64_t kMargin = 6;
  std::array<uint32_t, 2 * kMostBudgets> pivots;
  int asked = 0;
  for (const KeyBracket& bracket : brackets_) {
    if (bracket.done()) continue;
    const int64_t rank = bracket.wanted * kSample / count_;
    pivots[asked++] = sample[std::max<int64_t>(rank - kMargin, 0)];
    pivots[asked++] = sample[std::min<int64_t>(rank + kMargin, kSample - 1)];
  }
  CountAndNarrow(pivots.data(), asked);
}

// Each count tells something about every bracket.
template <typename T>
void RowSelection<T>::CountAndNarrow(const uint32_t* pivots, int asked) {
  std::array<int64_t, 2 * kMostBudgets> counts;
  kernels_.count_at_least(keys_.data(), count_, pivots, asked, counts.data());
  for (int i = 0; i < asked; ++i)
    for (KeyBracket& bracket : brackets_) bracket.Narrow(pivots[i], counts[i]);
}

// Higher score first, then lower position.
template <typename T>
bool RowSelection<T>::Before(int32_t a, int32_t b) const {
  return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b;
}

// The key of the last position inside; that position goes to last_, and all
// that might have the same key to left_.
template <typename T>
uint32_t RowSelection<T>::FindThreshold(size_t b) {
  const KeyBracket& bracket = brackets_[b];
  left_[b].clear();
  if (bracket.wanted <= 0) return kAboveAll;
  const auto left =
      static_cast<size_t>(bracket.at_least_low - bracket.above_high);
  left_[b].resize(left + cpu::kLanes);
  kernels_.collect_between(keys_.data(), count_, bracket.low, bracket.high,
                           left_[b].data());
  left_[b].resize(left);
  const auto last =
      left_[b].begin() + (bracket.wanted - bracket.above_high - 1);
  std::nth_element(left_[b].begin(), last, left_[b].end(),
                   [this](int32_t x, int32_t y) { return Before(x, y); });
  last_[b] = *last;
  return keys_[*last];
}

// Keys that equal the threshold's went inside; exactly compared, those behind
// the last do not belong there.
template <typename T>
void RowSelection<T>::ExcludeEqualKeys(size_t b, uint32_t threshold,
                                       uint16_t bit, uint16_t* masks) const {
  for (const int32_t j : left_[b])
    if (keys_[j] == threshold && Before(last_[b], j))
      masks[j] = static_cast<uint16_t>(masks[j] & ~bit);
}

template class RowSelection<float>;
template class RowSelection<double>;

}  // namespace kvrecall
