#include "common/analysis/resamples.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"

#include "common/analysis/parallel.h"

namespace kvrecall {
namespace {

// std::uniform_int_distribution draws differently from library to library. Of
// 2⁶⁴ values the share that favours a sample is below samples / 2⁶⁴.
int64_t Below(int64_t bound, std::mt19937_64& generator) {
  return static_cast<int64_t>(
      (static_cast<unsigned __int128>(generator()) *
       static_cast<unsigned __int128>(static_cast<uint64_t>(bound))) >>
      64);
}

int ChooseThreads(int requested) {
  if (requested > 0) return requested;
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Of ascending values; `at` in [0, 1].
double Quantile(const std::vector<double>& sorted, double at) {
  const double place = at * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  const double part = place - static_cast<double>(below);
  return sorted[below] + part * (sorted[above] - sorted[below]);
}

std::vector<double> Defined(const Replicates& replicates) {
  std::vector<double> defined;
  for (const double value : replicates)
    if (!std::isnan(value)) defined.push_back(value);
  return defined;
}

bool TooFew(const Resamples& resamples, const std::vector<double>& defined) {
  return resamples.samples() < 2 || defined.empty() ||
         2 * defined.size() < static_cast<size_t>(resamples.count());
}

}  // namespace

absl::Status CheckBootstrap(const BootstrapOptions& options) {
  constexpr int kLeast = 2000;
  if (options.resamples < kLeast)
    return absl::InvalidArgumentError(
        absl::StrCat("resamples is ", options.resamples,
                     "; intervals need at least ", kLeast));
  if (!(options.level > 0 && options.level < 1))
    return absl::InvalidArgumentError(absl::StrCat(
        "level is ", options.level, "; it must lie between 0 and 1"));
  return absl::OkStatus();
}

Resamples::Resamples(int64_t samples, const BootstrapOptions& options)
    : samples_(samples),
      options_(options),
      threads_(ChooseThreads(options.threads)),
      weights_(static_cast<size_t>(options.resamples) *
               static_cast<size_t>(samples)) {
  std::mt19937_64 generator(options.seed);
  for (int b = 0; b < options.resamples; ++b) {
    double* weights = weights_.data() + static_cast<int64_t>(b) * samples;
    for (int64_t i = 0; i < samples; ++i)
      weights[Below(samples, generator)] += 1;
  }
}

std::optional<Interval> PercentileInterval(const Resamples& resamples,
                                           const Replicates& replicates) {
  std::vector<double> defined = Defined(replicates);
  if (TooFew(resamples, defined)) return std::nullopt;
  std::sort(defined.begin(), defined.end());
  const double outside = (1 - resamples.level()) / 2;
  return Interval{Quantile(defined, outside), Quantile(defined, 1 - outside)};
}

std::optional<double> BootstrapP(const Resamples& resamples,
                                 const Replicates& replicates) {
  const std::vector<double> defined = Defined(replicates);
  if (TooFew(resamples, defined)) return std::nullopt;
  double below = 1, above = 1;
  for (const double value : defined) {
    if (value <= 0) ++below;
    if (value >= 0) ++above;
  }
  const double draws = static_cast<double>(defined.size()) + 1;
  return std::min(1.0, 2 * std::min(below, above) / draws);
}

Replicates Difference(const Replicates& a, const Replicates& b) {
  Replicates difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return difference;
}

std::vector<double> DrawTotals(const Resamples& resamples,
                               std::span<const double> sums, int columns) {
  const auto width = static_cast<size_t>(columns);
  std::vector<double> totals(static_cast<size_t>(resamples.count()) * width);
  RunInParts(resamples.threads(), resamples.count(), [&](int64_t b) {
    double* total = totals.data() + static_cast<size_t>(b) * width;
    const std::span<const double> weights =
        resamples.Weights(static_cast<int>(b));
    for (size_t s = 0; s < weights.size(); ++s) {
      if (weights[s] == 0) continue;
      const double* of_sample = sums.data() + s * width;
      for (size_t c = 0; c < width; ++c) total[c] += weights[s] * of_sample[c];
    }
  });
  return totals;
}

}  // namespace kvrecall
