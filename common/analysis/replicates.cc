#include "common/analysis/replicates.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "common/analysis/mean.h"
#include "common/analysis/parallel.h"
#include "common/analysis/ranks.h"

namespace kvrecall {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// A spread that is this small beside the whole column's is nothing but
// rounding.
constexpr double kNothing = 1e-12;

size_t SampleCount(std::span<const int64_t> first) { return first.size() - 1; }

// The columns less their means: then no square of a draw cancels.
std::vector<double> Centred(std::span<const double> values) {
  CompensatedSum sum;
  for (const double value : values) sum.Add(value);
  const double mean =
      values.empty() ? 0 : sum.Total() / static_cast<double>(values.size());
  std::vector<double> out;
  out.reserve(values.size());
  for (const double value : values) out.push_back(value - mean);
  return out;
}

// Calls body(sample, step) for all steps.
template <typename Body>
void ForSteps(std::span<const int64_t> first, Body body) {
  for (size_t s = 0; s < SampleCount(first); ++s)
    for (int64_t i = first[s]; i < first[s + 1]; ++i)
      body(s, static_cast<size_t>(i));
}

// The symmetric matrix of the second moments about the mean of some columns.
class Covariances {
 public:
  explicit Covariances(size_t columns)
      : columns_(columns), values_(columns * columns) {}
  double& At(size_t a, size_t b) { return values_[a * columns_ + b]; }
  double At(size_t a, size_t b) const { return values_[a * columns_ + b]; }
  size_t columns() const { return columns_; }

  // Takes away what column `pivot` explains of the columns before it.
  void Sweep(size_t pivot) {
    const double spread = At(pivot, pivot);
    for (size_t a = 0; a < pivot; ++a)
      for (size_t b = 0; b < pivot; ++b)
        At(a, b) -= At(a, pivot) * At(b, pivot) / spread;
  }

 private:
  size_t columns_;
  std::vector<double> values_;
};

// Whether what is left of a column with this spread is more than rounding.
bool IsSomething(double left, double whole) { return left > kNothing * whole; }

double Ratio(double product, double spread_x, double spread_y) {
  return std::clamp(product / std::sqrt(spread_x * spread_y), -1.0, 1.0);
}

// Sums of a sample or a draw: the steps, each column, each product of two.
size_t SumsOf(size_t columns) {
  return 1 + columns + columns * (columns + 1) / 2;
}

Covariances FromSums(const double* sums, size_t columns) {
  Covariances covariances(columns);
  const double n = sums[0];
  const double* product = sums + 1 + columns;
  for (size_t a = 0; a < columns; ++a)
    for (size_t b = a; b < columns; ++b)
      covariances.At(a, b) = covariances.At(b, a) =
          *product++ - sums[1 + a] * sums[1 + b] / n;
  return covariances;
}

// The correlation of columns 0 and 1 given those behind them; `whole`: of all
// steps.
double Partial(Covariances draw, const Covariances& whole) {
  for (size_t pivot = draw.columns() - 1; pivot >= 2; --pivot) {
    // A control that is constant here explains nothing.
    if (IsSomething(draw.At(pivot, pivot), whole.At(pivot, pivot)))
      draw.Sweep(pivot);
  }
  if (!IsSomething(draw.At(0, 0), whole.At(0, 0)) ||
      !IsSomething(draw.At(1, 1), whole.At(1, 1)))
    return kUndefined;
  return Ratio(draw.At(0, 1), draw.At(0, 0), draw.At(1, 1));
}

}  // namespace

MomentReplicates ReplicateMoments(
    const Resamples& resamples, std::span<const int64_t> first,
    std::span<const double> x, std::span<const double> y,
    const std::vector<std::span<const double>>& controls) {
  std::vector<std::vector<double>> columns = {Centred(x), Centred(y)};
  for (const std::span<const double> control : controls)
    columns.push_back(Centred(control));
  const size_t width = SumsOf(columns.size());
  std::vector<double> sums(SampleCount(first) * width), all(width);
  ForSteps(first, [&](size_t sample, size_t i) {
    double* out = sums.data() + sample * width;
    *out++ += 1;
    for (const std::vector<double>& column : columns) *out++ += column[i];
    for (size_t a = 0; a < columns.size(); ++a)
      for (size_t b = a; b < columns.size(); ++b)
        *out++ += columns[a][i] * columns[b][i];
  });
  for (size_t s = 0; s < SampleCount(first); ++s)
    for (size_t c = 0; c < width; ++c) all[c] += sums[s * width + c];
  const Covariances whole = FromSums(all.data(), columns.size());
  const std::vector<double> totals =
      DrawTotals(resamples, sums, static_cast<int>(width));
  MomentReplicates replicates;
  for (int b = 0; b < resamples.count(); ++b) {
    const Covariances draw = FromSums(
        totals.data() + static_cast<size_t>(b) * width, columns.size());
    const bool x_varies = IsSomething(draw.At(0, 0), whole.At(0, 0));
    const bool y_varies = IsSomething(draw.At(1, 1), whole.At(1, 1));
    replicates.pearson.push_back(
        x_varies && y_varies
            ? Ratio(draw.At(0, 1), draw.At(0, 0), draw.At(1, 1))
            : kUndefined);
    replicates.slope.push_back(x_varies ? draw.At(0, 1) / draw.At(0, 0)
                                        : kUndefined);
    replicates.partial.push_back(Partial(draw, whole));
  }
  return replicates;
}

Replicates ReplicateCentred(const Resamples& resamples,
                            std::span<const int64_t> first,
                            std::span<const double> x,
                            std::span<const double> y) {
  constexpr size_t kWidth = 3;
  std::vector<double> sums(SampleCount(first) * kWidth);
  ForSteps(first, [&](size_t sample, size_t i) {
    double* out = sums.data() + sample * kWidth;
    out[0] += x[i] * x[i];
    out[1] += y[i] * y[i];
    out[2] += x[i] * y[i];
  });
  const std::vector<double> totals = DrawTotals(resamples, sums, kWidth);
  Replicates replicates;
  for (size_t b = 0; b < totals.size(); b += kWidth) {
    // A draw of nothing but constant samples has exact zeros.
    const bool defined = totals[b] > 0 && totals[b + 1] > 0;
    replicates.push_back(
        defined ? Ratio(totals[b + 2], totals[b], totals[b + 1]) : kUndefined);
  }
  return replicates;
}

std::vector<Replicates> ReplicateBinMeans(const Resamples& resamples,
                                          std::span<const int64_t> first,
                                          std::span<const int> bin_of, int bins,
                                          std::span<const double> y) {
  const size_t width = 2 * static_cast<size_t>(bins);
  std::vector<double> sums(SampleCount(first) * width);
  ForSteps(first, [&](size_t sample, size_t i) {
    if (bin_of[i] < 0) return;
    double* out = sums.data() + sample * width + 2 * bin_of[i];
    out[0] += 1;
    out[1] += y[i];
  });
  const std::vector<double> totals =
      DrawTotals(resamples, sums, static_cast<int>(width));
  std::vector<Replicates> means(static_cast<size_t>(bins));
  for (size_t i = 0; i < totals.size(); i += 2)
    means[i % width / 2].push_back(totals[i] > 0 ? totals[i + 1] / totals[i]
                                                 : kUndefined);
  return means;
}

namespace {

// Draws that are ranked at once: their weights stand side by side.
constexpr int kTogether = 8;

template <typename T>
struct Lanes8 {
  T at[kTogether] = {};
};
using Doubles8 = Lanes8<double>;

// Values in ascending order, of which samples they are, and where each group of
// equal ones ends.
struct Order {
  std::vector<uint32_t> step, sample;
  std::vector<uint32_t> group_ends;
};

Order OrderOf(std::span<const double> values,
              std::span<const uint32_t> sample_of) {
  Order order;
  for (const size_t i : AscendingOrder(values)) {
    order.step.push_back(static_cast<uint32_t>(i));
    order.sample.push_back(sample_of[i]);
  }
  for (size_t i = 1; i <= order.step.size(); ++i)
    if (i == order.step.size() ||
        values[order.step[i]] != values[order.step[i - 1]])
      order.group_ends.push_back(static_cast<uint32_t>(i));
  return order;
}

// Eight draws: their samples' weights, and from them ranks. A value's rank in a
// draw is the number of drawn values below it, and half of one more than those
// equal to it; ranks are taken less their mean.
class RankedDraws {
 public:
  RankedDraws(const Resamples& resamples, int begin,
              std::span<const int64_t> first)
      : weights_(SampleCount(first)) {
    const int count = std::min(kTogether, resamples.count() - begin);
    for (int b = 0; b < count; ++b) {
      const std::span<const double> weights = resamples.Weights(begin + b);
      for (size_t s = 0; s < weights_.size(); ++s) {
        weights_[s].at[b] = weights[s];
        steps_.at[b] +=
            weights[s] * static_cast<double>(first[s + 1] - first[s]);
      }
    }
  }

  void RankFirst(const Order& x) {
    weighted_.resize(x.step.size());
    spread_ = Walk(
        x, [](size_t) {},
        [&](size_t begin, size_t end, const Doubles8& rank) {
          for (size_t i = begin; i < end; ++i) {
            const Doubles8& w = weights_[x.sample[i]];
            Lanes8<float>& weighted = weighted_[x.step[i]];
            for (int b = 0; b < kTogether; ++b)
              weighted.at[b] = static_cast<float>(w.at[b] * rank.at[b]);
          }
        });
  }

  // ρ of the column ranked first with another.
  Doubles8 Correlate(const Order& y) const {
    Doubles8 products, sum;
    const Doubles8 spread = Walk(
        y,
        [&](size_t i) {
          const Lanes8<float>& weighted = weighted_[y.step[i]];
          for (int b = 0; b < kTogether; ++b) sum.at[b] += weighted.at[b];
        },
        [&](size_t, size_t, const Doubles8& rank) {
          for (int b = 0; b < kTogether; ++b)
            products.at[b] += sum.at[b] * rank.at[b];
          sum = {};
        });
    Doubles8 result;
    for (int b = 0; b < kTogether; ++b)
      result.at[b] = spread.at[b] > 0 && spread_.at[b] > 0
                         ? Ratio(products.at[b], spread.at[b], spread_.at[b])
                         : kUndefined;
    return result;
  }

 private:
  // Calls each(i) for every value and then whole(begin, end, rank) for its
  // group of equal ones; returns the sum of the squared ranks.
  template <typename Each, typename Whole>
  Doubles8 Walk(const Order& order, Each each, Whole whole) const {
    Doubles8 below, spread;
    size_t begin = 0;
    for (const uint32_t end : order.group_ends) {
      Doubles8 equal, rank;
      for (size_t i = begin; i < end; ++i) {
        const Doubles8& w = weights_[order.sample[i]];
        for (int b = 0; b < kTogether; ++b) equal.at[b] += w.at[b];
        each(i);
      }
      for (int b = 0; b < kTogether; ++b) {
        rank.at[b] = below.at[b] + (equal.at[b] - steps_.at[b]) / 2;
        spread.at[b] += equal.at[b] * rank.at[b] * rank.at[b];
        below.at[b] += equal.at[b];
      }
      whole(begin, end, rank);
      begin = end;
    }
    return spread;
  }

  std::vector<Doubles8> weights_;  // [samples]
  // [steps]: weight times rank of the column ranked first. Halves of whole
  // numbers, so floats hold them exactly up to eight million; and half the
  // bytes are what fits the cache that the other columns' orders jump about in.
  std::vector<Lanes8<float>> weighted_;
  Doubles8 steps_, spread_;
};

}  // namespace

std::vector<Replicates> ReplicateSpearman(
    const Resamples& resamples, std::span<const int64_t> first,
    std::span<const double> x, const std::vector<std::span<const double>>& ys) {
  std::vector<uint32_t> sample_of(x.size());
  ForSteps(first, [&](size_t sample, size_t i) {
    sample_of[i] = static_cast<uint32_t>(sample);
  });
  const Order of_x = OrderOf(x, sample_of);
  std::vector<Order> of_ys(ys.size());
  RunInParts(resamples.threads(), std::ssize(ys), [&](int64_t i) {
    of_ys[static_cast<size_t>(i)] =
        OrderOf(ys[static_cast<size_t>(i)], sample_of);
  });
  std::vector<Replicates> replicates(
      ys.size(), Replicates(static_cast<size_t>(resamples.count())));
  const int batches = (resamples.count() + kTogether - 1) / kTogether;
  RunInParts(resamples.threads(), batches, [&](int64_t batch) {
    const int begin = static_cast<int>(batch) * kTogether;
    const int count = std::min(kTogether, resamples.count() - begin);
    RankedDraws draws(resamples, begin, first);
    draws.RankFirst(of_x);
    for (size_t i = 0; i < of_ys.size(); ++i) {
      const Doubles8 rho = draws.Correlate(of_ys[i]);
      std::copy_n(rho.at, count, replicates[i].begin() + begin);
    }
  });
  return replicates;
}

namespace {

// pairs[a · samples + b]: of a step of sample a with the event and one of b
// without, those in which the first has the higher signal, ties counted half.
std::vector<double> WonPairs(std::span<const int64_t> first,
                             std::span<const double> signal,
                             std::span<const uint8_t> event) {
  const size_t samples = SampleCount(first);
  std::vector<uint32_t> sample_of(signal.size());
  ForSteps(first, [&](size_t sample, size_t i) {
    sample_of[i] = static_cast<uint32_t>(sample);
  });
  const Order order = OrderOf(signal, sample_of);
  std::vector<double> pairs(samples * samples);
  std::vector<double> below(samples), with_equal(samples);
  size_t begin = 0;
  for (const uint32_t end : order.group_ends) {
    // Those of the group count half: once before they are there, once after.
    for (size_t i = begin; i < end; ++i)
      if (event[order.step[i]] == 0) with_equal[sample_of[order.step[i]]] += 1;
    for (size_t i = begin; i < end; ++i) {
      if (event[order.step[i]] == 0) continue;
      double* row = pairs.data() + sample_of[order.step[i]] * samples;
      for (size_t s = 0; s < samples; ++s)
        row[s] += (below[s] + with_equal[s]) / 2;
    }
    below = with_equal;
    begin = end;
  }
  return pairs;
}

}  // namespace

Replicates ReplicateAuc(const Resamples& resamples,
                        std::span<const int64_t> first,
                        std::span<const double> signal,
                        std::span<const uint8_t> event) {
  const size_t samples = SampleCount(first);
  const std::vector<double> pairs = WonPairs(first, signal, event);
  std::vector<double> events(samples), others(samples);
  ForSteps(first, [&](size_t sample, size_t i) {
    (event[i] != 0 ? events : others)[sample] += 1;
  });
  Replicates replicates(static_cast<size_t>(resamples.count()));
  RunInParts(resamples.threads(), resamples.count(), [&](int64_t b) {
    const std::span<const double> weights =
        resamples.Weights(static_cast<int>(b));
    double won = 0, with = 0, without = 0;
    for (size_t a = 0; a < samples; ++a) {
      with += weights[a] * events[a];
      without += weights[a] * others[a];
      if (weights[a] == 0 || events[a] == 0) continue;
      const double* row = pairs.data() + a * samples;
      double of_sample = 0;
      for (size_t s = 0; s < samples; ++s) of_sample += weights[s] * row[s];
      won += weights[a] * of_sample;
    }
    replicates[static_cast<size_t>(b)] =
        with > 0 && without > 0 ? won / (with * without) : kUndefined;
  });
  return replicates;
}

}  // namespace kvrecall
