#include "server/telemetry/selector_cpu.h"

#include <algorithm>
#include <array>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/row_kernels.h"

namespace kvrecall {
namespace {

constexpr int kBinBits = 11;
constexpr int kBins = 1 << kBinBits;

// One row's selection. Scores become 32-bit keys in the same order; a
// histogram of the keys finds the few positions among which the K-th must be,
// and only those are compared exactly.
template <typename T>
class RowSelection {
 public:
  // `count` scores; `own`: a further position that comes before all of them.
  RowSelection(const T* scores, int64_t count, bool own, const float* weights,
               std::span<const int64_t> ks, uint8_t* levels, double* mass)
      : scores_(scores),
        count_(count),
        own_(own),
        weights_(weights),
        ks_(ks),
        levels_(levels),
        mass_(mass) {}

  void Run() {
    MakeKeys();
    CountBins();
    FindBins();
    CollectCandidates();
    std::vector<uint32_t> thresholds(ks_.size());
    for (size_t b = 0; b < ks_.size(); ++b) thresholds[b] = FindThreshold(b);
    cpu::BestRowKernels().sort_into_levels(
        keys_.data(), weights_, count_, thresholds.data(),
        static_cast<int>(ks_.size()), levels_, mass_);
    for (size_t b = 0; b < ks_.size(); ++b) ExcludeEqualKeys(b, thresholds[b]);
    if (!own_) return;
    levels_[count_] = 0;
    for (size_t b = 0; b < ks_.size(); ++b) mass_[b] += weights_[count_];
  }

 private:
  // Where the K-th best of the scores falls.
  struct Cut {
    int64_t wanted = 0;  // how many of the scores the set holds
    int bin = kBins;     // of the last one; kBins: none is held
    int64_t above = 0;   // how many stand in higher bins
  };

  void MakeKeys() {
    keys_.resize(static_cast<size_t>(count_));
    const cpu::RowKernels& kernels = cpu::BestRowKernels();
    uint32_t highest = 0;
    if constexpr (std::is_same_v<T, double>)
      kernels.keys_of_doubles(scores_, count_, keys_.data(), &lowest_,
                              &highest);
    else
      kernels.keys_of_floats(scores_, count_, keys_.data(), &lowest_, &highest);
    shift_ = 0;
    while (count_ > 0 && ((highest - lowest_) >> shift_) >= kBins) ++shift_;
  }

  int BinOf(uint32_t key) const {
    return static_cast<int>((key - lowest_) >> shift_);
  }

  void CountBins() {
    // Two histograms: neighbours often share a bin, and each increment would
    // wait for the one before.
    std::array<uint32_t, kBins> odd{};
    bins_.fill(0);
    int64_t j = 0;
    for (; j + 2 <= count_; j += 2) {
      ++bins_[BinOf(keys_[j])];
      ++odd[BinOf(keys_[j + 1])];
    }
    if (j < count_) ++bins_[BinOf(keys_[j])];
    for (int i = 0; i < kBins; ++i) bins_[i] += odd[i];
  }

  void FindBins() {
    wanted_bins_.fill(false);
    cuts_.assign(ks_.size(), {});
    int bin = kBins;
    int64_t above = 0, reached = 0;  // in bins > bin, ≥ bin
    for (size_t b = 0; b < ks_.size(); ++b) {
      cuts_[b].wanted = ks_[b] - (own_ ? 1 : 0);
      if (cuts_[b].wanted <= 0) continue;
      while (reached < cuts_[b].wanted) {
        above = reached;
        reached += bins_[--bin];
      }
      cuts_[b].bin = bin;
      cuts_[b].above = above;
      wanted_bins_[bin] = true;
    }
  }

  void CollectCandidates() {
    candidates_.clear();
    for (int64_t j = 0; j < count_; ++j)
      if (wanted_bins_[BinOf(keys_[j])])
        candidates_.push_back(static_cast<int32_t>(j));
  }

  // Higher score first, then lower position.
  bool Before(int32_t a, int32_t b) const {
    return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b;
  }

  // The key of the last position inside, and that position in last_.
  uint32_t FindThreshold(size_t b) {
    const Cut& cut = cuts_[b];
    if (cut.bin == kBins) return 0xffffffffu;  // no finite score has this key
    in_bin_.clear();
    for (const int32_t j : candidates_)
      if (BinOf(keys_[j]) == cut.bin) in_bin_.push_back(j);
    const auto last = in_bin_.begin() + (cut.wanted - cut.above - 1);
    std::nth_element(in_bin_.begin(), last, in_bin_.end(),
                     [this](int32_t x, int32_t y) { return Before(x, y); });
    last_[b] = *last;
    return keys_[*last];
  }

  // Keys that equal the threshold's went inside; exactly compared, those
  // behind the last do not belong there.
  void ExcludeEqualKeys(size_t b, uint32_t threshold) {
    if (cuts_[b].bin == kBins) return;
    for (const int32_t j : candidates_)
      if (keys_[j] == threshold && Before(last_[b], j)) {
        ++levels_[j];
        mass_[b] -= weights_[j];
      }
  }

  const T* const scores_;
  const int64_t count_;
  const bool own_;
  const float* const weights_;
  const std::span<const int64_t> ks_;
  uint8_t* const levels_;
  double* const mass_;

  uint32_t lowest_ = 0;
  int shift_ = 0;
  // Kept between rows: a step selects many.
  static thread_local std::vector<uint32_t> keys_;
  static thread_local std::vector<int32_t> candidates_, in_bin_;
  std::array<uint32_t, kBins> bins_;
  std::array<bool, kBins> wanted_bins_;
  std::vector<Cut> cuts_;
  std::array<int32_t, kMostBudgets> last_;
};

template <typename T>
thread_local std::vector<uint32_t> RowSelection<T>::keys_;
template <typename T>
thread_local std::vector<int32_t> RowSelection<T>::candidates_;
template <typename T>
thread_local std::vector<int32_t> RowSelection<T>::in_bin_;

template <typename T>
void SelectRows(const Scores& scores, const at::Tensor& weights,
                std::span<const int64_t> ks, RowSets& sets) {
  const int64_t n = weights.size(1);
  const int64_t count = scores.own_first ? n - 1 : n;
  const T* values = scores.values.data_ptr<T>();
  const int64_t stride = scores.values.stride(0);
  at::parallel_for(0, weights.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      RowSelection<T>(
          values + r * stride, count, scores.own_first,
          weights.data_ptr<float>() + r * n, ks,
          sets.levels.data_ptr<uint8_t>() + r * n,
          sets.mass.data_ptr<double>() + r * static_cast<int64_t>(ks.size()))
          .Run();
  });
}

}  // namespace

RowSets SelectTopOnCpu(const Scores& scores, const at::Tensor& weights,
                       std::span<const int64_t> ks) {
  const at::Tensor rows = weights.contiguous();
  const Scores packed = {scores.values.stride(-1) == 1
                             ? scores.values
                             : scores.values.contiguous(),
                         scores.own_first};
  RowSets sets;
  sets.levels = at::empty(rows.sizes(), rows.options().dtype(at::kByte));
  sets.mass = at::empty({rows.size(0), static_cast<int64_t>(ks.size())},
                        rows.options().dtype(at::kDouble));
  if (scores.values.scalar_type() == at::kDouble)
    SelectRows<double>(packed, rows, ks, sets);
  else
    SelectRows<float>(packed, rows, ks, sets);
  return sets;
}

at::Tensor CountCommonOnCpu(const RowSets& a, const RowSets& b) {
  const int64_t n = a.levels.size(1);
  const int64_t budgets = a.mass.size(1);
  at::Tensor common = at::empty(a.mass.sizes(), at::kLong);
  at::parallel_for(0, a.levels.size(0), 4, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      cpu::BestRowKernels().count_common(
          a.levels.data_ptr<uint8_t>() + r * n,
          b.levels.data_ptr<uint8_t>() + r * n, n, static_cast<int>(budgets),
          common.data_ptr<int64_t>() + r * budgets);
  });
  return common;
}

}  // namespace kvrecall
