#pragma once

// The statistics of correlation.h, of means and of triggers on every draw of a
// bootstrap over samples. All columns are of steps, grouped by sample: `first`
// has where each sample begins, and the end ([samples + 1], of the Resamples'
// samples). Values are finite. A draw that does not define a statistic gives
// NaN. Thread-safe: no shared state; they start threads of their own.

#include <cstdint>
#include <span>
#include <vector>

#include "common/analysis/resamples.h"

namespace kvrecall {

// What the second moments of (x, y) and of the controls give.
struct MomentReplicates {
  Replicates pearson;
  Replicates slope;    // of y on x
  Replicates partial;  // given the controls
};

MomentReplicates ReplicateMoments(
    const Resamples& resamples, std::span<const int64_t> first,
    std::span<const double> x, std::span<const double> y,
    const std::vector<std::span<const double>>& controls);

// Pearson of columns that are centred by sample already (WithinSamples,
// RanksWithinSamples): of their plain products.
Replicates ReplicateCentred(const Resamples& resamples,
                            std::span<const int64_t> first,
                            std::span<const double> x,
                            std::span<const double> y);

// Spearman's ρ of x with each of `ys`, ranked anew in every draw.
std::vector<Replicates> ReplicateSpearman(
    const Resamples& resamples, std::span<const int64_t> first,
    std::span<const double> x, const std::vector<std::span<const double>>& ys);

// The mean of y over the steps whose bin is each of 0 … bins − 1; a step whose
// bin is negative belongs to none. One for each bin.
std::vector<Replicates> ReplicateBinMeans(const Resamples& resamples,
                                          std::span<const int64_t> first,
                                          std::span<const int> bin_of, int bins,
                                          std::span<const double> y);

// The area under the ROC curve of `signal` for `event`: the share of pairs of a
// step with the event and one without, in which the first has the higher
// signal, ties counted half.
Replicates ReplicateAuc(const Resamples& resamples,
                        std::span<const int64_t> first,
                        std::span<const double> signal,
                        std::span<const uint8_t> event);

}  // namespace kvrecall
