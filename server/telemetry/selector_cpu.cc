#include "server/telemetry/selector_cpu.h"

#include <algorithm>
#include <array>
#include <functional>
#include <type_traits>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/row_kernels.h"

namespace kvrecall {
namespace {

// Few enough positions to compare exactly.
constexpr int64_t kFew = 128;
constexpr int64_t kSample = 64;

// Between passes over the keys: where the key of the last position inside is.
struct Bracket {
  int64_t wanted = 0;  // how many of the scores the set holds
  // Keys ≥ low: at least `wanted`; keys > high: fewer.
  uint32_t low = 0, high = 0;
  int64_t at_least_low = 0, above_high = 0;

  bool done() const {
    return wanted <= 0 || low == high || at_least_low - above_high <= kFew;
  }

  // Takes in how many keys are at least `pivot`.
  void Narrow(uint32_t pivot, int64_t count) {
    if (wanted <= 0 || pivot <= low || pivot > high) return;
    if (count >= wanted) {
      low = pivot;
      at_least_low = count;
    } else {
      high = pivot - 1;
      above_high = count;
    }
  }

  // Where the key should be if keys were spread evenly between the bounds, or
  // the middle, which halves whatever they are; in low + 1 … high.
  uint32_t Guess(bool even) const {
    const uint32_t width = high - low;
    const double part = even
                            ? static_cast<double>(at_least_low - wanted) /
                                  static_cast<double>(at_least_low - above_high)
                            : 0.5;
    return low + std::clamp<uint32_t>(
                     static_cast<uint32_t>(part * static_cast<double>(width)),
                     1, width);
  }
};

// One row's selection. Scores become 32-bit keys in the same order; passes
// that count keys above a guess narrow down where the K-th must be, for all K
// together, and only the few positions that are left are compared exactly.
template <typename T>
class RowSelection {
 public:
  // `count` scores, and the same in float32 or null; `own`: a further position
  // that comes before all of them.
  RowSelection(const T* scores, const float* rounded, int64_t count, bool own,
               const float* weights, std::span<const int64_t> ks,
               uint8_t* levels, double* mass)
      : scores_(scores),
        rounded_(rounded),
        count_(count),
        own_(own),
        weights_(weights),
        ks_(ks),
        levels_(levels),
        mass_(mass) {}

  void Run() {
    MakeKeys();
    if (count_ > 0) NarrowBrackets();
    const size_t budgets = ks_.size();
    std::array<uint32_t, kMostBudgets> thresholds;
    for (size_t b = 0; b < budgets; ++b) thresholds[b] = FindThreshold(b);
    kernels_.sort_into_levels(keys_.data(), weights_, count_, thresholds.data(),
                              static_cast<int>(budgets), levels_, mass_);
    for (size_t b = 0; b < budgets; ++b) ExcludeEqualKeys(b, thresholds[b]);
    if (!own_) return;
    levels_[count_] = 0;
    for (size_t b = 0; b < budgets; ++b) mass_[b] += weights_[count_];
  }

 private:
  void MakeKeys() {
    keys_.resize(static_cast<size_t>(count_));
    brackets_.assign(ks_.size(), {});
    uint32_t lowest = 0, highest = 0;
    if (rounded_ != nullptr)
      kernels_.keys_of_floats(rounded_, count_, keys_.data(), &lowest,
                              &highest);
    else if constexpr (std::is_same_v<T, double>)
      kernels_.keys_of_doubles(scores_, count_, keys_.data(), &lowest,
                               &highest);
    else
      kernels_.keys_of_floats(scores_, count_, keys_.data(), &lowest, &highest);
    for (size_t b = 0; b < ks_.size(); ++b)
      brackets_[b] = {ks_[b] - (own_ ? 1 : 0), lowest, highest, count_, 0};
  }

  void NarrowBrackets() {
    NarrowBySample();
    std::array<uint32_t, kMostBudgets> pivots;
    for (bool even = true;; even = !even) {
      int asked = 0;
      for (const Bracket& bracket : brackets_)
        if (!bracket.done()) pivots[asked++] = bracket.Guess(even);
      if (asked == 0) return;
      CountAndNarrow(pivots.data(), asked);
    }
  }

  // Around the places where an evenly drawn sample has the wanted ranks.
  void NarrowBySample() {
    if (count_ < 8 * kSample) return;
    std::array<uint32_t, kSample> sample;
    for (int64_t i = 0; i < kSample; ++i)
      sample[i] = keys_[i * count_ / kSample];
    std::sort(sample.begin(), sample.end(), std::greater<>());
    constexpr int64_t kMargin = 6;
    std::array<uint32_t, 2 * kMostBudgets> pivots;
    int asked = 0;
    for (const Bracket& bracket : brackets_) {
      if (bracket.done()) continue;
      const int64_t rank = bracket.wanted * kSample / count_;
      pivots[asked++] = sample[std::max<int64_t>(rank - kMargin, 0)];
      pivots[asked++] = sample[std::min<int64_t>(rank + kMargin, kSample - 1)];
    }
    CountAndNarrow(pivots.data(), asked);
  }

  // Each count tells something about every bracket.
  void CountAndNarrow(const uint32_t* pivots, int asked) {
    std::array<int64_t, 2 * kMostBudgets> counts;
    kernels_.count_at_least(keys_.data(), count_, pivots, asked, counts.data());
    for (int i = 0; i < asked; ++i)
      for (Bracket& bracket : brackets_) bracket.Narrow(pivots[i], counts[i]);
  }

  // Higher score first, then lower position.
  bool Before(int32_t a, int32_t b) const {
    return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b;
  }

  // The key of the last position inside; that position goes to last_, and all
  // that might have the same key to left_.
  uint32_t FindThreshold(size_t b) {
    const Bracket& bracket = brackets_[b];
    left_[b].clear();
    if (bracket.wanted <= 0) return 0xffffffffu;  // no score has this key
    left_[b].resize(
        static_cast<size_t>(bracket.at_least_low - bracket.above_high));
    kernels_.collect_between(keys_.data(), count_, bracket.low, bracket.high,
                             left_[b].data());
    const auto last =
        left_[b].begin() + (bracket.wanted - bracket.above_high - 1);
    std::nth_element(left_[b].begin(), last, left_[b].end(),
                     [this](int32_t x, int32_t y) { return Before(x, y); });
    last_[b] = *last;
    return keys_[*last];
  }

  // Keys that equal the threshold's went inside; exactly compared, those
  // behind the last do not belong there.
  void ExcludeEqualKeys(size_t b, uint32_t threshold) {
    for (const int32_t j : left_[b])
      if (keys_[j] == threshold && Before(last_[b], j)) {
        ++levels_[j];
        mass_[b] -= weights_[j];
      }
  }

  const cpu::RowKernels& kernels_ = cpu::BestRowKernels();
  const T* const scores_;
  const float* const rounded_;
  const int64_t count_;
  const bool own_;
  const float* const weights_;
  const std::span<const int64_t> ks_;
  uint8_t* const levels_;
  double* const mass_;

  // Kept between rows: a step selects many.
  static thread_local std::vector<uint32_t> keys_;
  static thread_local std::array<std::vector<int32_t>, kMostBudgets> left_;
  std::vector<Bracket> brackets_;
  std::array<int32_t, kMostBudgets> last_;
};

template <typename T>
thread_local std::vector<uint32_t> RowSelection<T>::keys_;
template <typename T>
thread_local std::array<std::vector<int32_t>, kMostBudgets>
    RowSelection<T>::left_;

// One job's arrays, and which of all jobs' rows are its own.
struct JobRows {
  int64_t first = 0;  // among the rows of all jobs
  int64_t n = 0;
  bool own_first = false;
  at::Tensor values, rounded, weights;  // kept alive
  RowSets* sets = nullptr;
};

at::Tensor WithPackedRows(const at::Tensor& t) {
  return !t.defined() || t.stride(-1) == 1 ? t : t.contiguous();
}

template <typename T>
void SelectRow(const JobRows& job, int64_t r, std::span<const int64_t> ks) {
  const int64_t budgets = static_cast<int64_t>(ks.size());
  RowSelection<T>(job.values.data_ptr<T>() + r * job.values.stride(0),
                  job.rounded.defined() ? job.rounded.data_ptr<float>() +
                                              r * job.rounded.stride(0)
                                        : nullptr,
                  job.own_first ? job.n - 1 : job.n, job.own_first,
                  job.weights.data_ptr<float>() + r * job.n, ks,
                  job.sets->levels.data_ptr<uint8_t>() + r * job.n,
                  job.sets->mass.data_ptr<double>() + r * budgets)
      .Run();
}

}  // namespace

std::vector<RowSets> SelectTopOnCpu(std::span<const SelectionJob> jobs,
                                    std::span<const int64_t> ks) {
  std::vector<RowSets> sets(jobs.size());
  std::vector<JobRows> all;
  int64_t rows = 0;
  for (size_t i = 0; i < jobs.size(); ++i) {
    const Scores& scores = jobs[i].scores;
    JobRows job = {rows,
                   jobs[i].weights.size(1),
                   scores.own_first,
                   WithPackedRows(scores.values),
                   WithPackedRows(scores.rounded),
                   jobs[i].weights.contiguous(),
                   &sets[i]};
    const int64_t count = job.weights.size(0);
    sets[i].levels = at::empty({count, job.n}, at::kByte);
    sets[i].mass =
        at::empty({count, static_cast<int64_t>(ks.size())}, at::kDouble);
    rows += count;
    all.push_back(std::move(job));
  }
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    size_t i = 0;
    for (int64_t row = begin; row < end; ++row) {
      while (i + 1 < all.size() && row >= all[i + 1].first) ++i;
      if (all[i].values.scalar_type() == at::kDouble)
        SelectRow<double>(all[i], row - all[i].first, ks);
      else
        SelectRow<float>(all[i], row - all[i].first, ks);
    }
  });
  return sets;
}

at::Tensor CompareRowSetsOnCpu(const RowSets& gold, const RowSets& predicted) {
  const int64_t rows = gold.levels.size(0);
  const int64_t n = gold.levels.size(1);
  const int64_t budgets = gold.mass.size(1);
  at::Tensor figures = at::empty({4, rows, budgets}, at::kDouble);
  double* common = figures.data_ptr<double>();
  double* has_last = common + 3 * rows * budgets;
  const uint8_t* a = gold.levels.data_ptr<uint8_t>();
  const uint8_t* b = predicted.levels.data_ptr<uint8_t>();
  at::parallel_for(0, rows, 4, [&](int64_t begin, int64_t end) {
    std::array<int64_t, kMostBudgets> counts;
    for (int64_t r = begin; r < end; ++r) {
      cpu::BestRowKernels().count_common(
          a + r * n, b + r * n, n, static_cast<int>(budgets), counts.data());
      for (int64_t k = 0; k < budgets; ++k) {
        common[r * budgets + k] = static_cast<double>(counts[k]);
        has_last[r * budgets + k] = a[r * n + n - 1] <= k ? 1 : 0;
      }
    }
  });
  figures[1].copy_(predicted.mass);
  figures[2].copy_(gold.mass);
  return figures;
}

}  // namespace kvrecall
