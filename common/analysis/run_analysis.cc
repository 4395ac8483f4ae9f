#include "common/analysis/run_analysis.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "common/analysis/binning.h"
#include "common/analysis/bins.h"
#include "common/analysis/correlation.h"
#include "common/analysis/mean.h"
#include "common/analysis/replicates.h"
#include "common/analysis/roc.h"
#include "common/analysis/student.h"
#include "common/base/status_macros.h"
#include "common/record/headline.h"

namespace kvrecall {
namespace {

using Column = std::span<const double>;

// Steps that a statistic is of, where it is not of all: columns without the
// steps that have no value, and where each sample begins in them.
struct Selected {
  std::vector<int64_t> first = {0};
  std::vector<double> x, y;
};

// The steps for which keep(i) holds, as (x[i], y[i + shift]).
template <typename Keep>
Selected Select(const std::vector<int64_t>& first, Column x, Column y,
                int64_t shift, Keep keep) {
  Selected selected;
  for (size_t s = 0; s + 1 < first.size(); ++s) {
    for (int64_t i = first[s]; i + shift < first[s + 1]; ++i) {
      if (!keep(static_cast<size_t>(i))) continue;
      selected.x.push_back(x[static_cast<size_t>(i)]);
      selected.y.push_back(y[static_cast<size_t>(i + shift)]);
    }
    selected.first.push_back(static_cast<int64_t>(selected.x.size()));
  }
  return selected;
}

double MeanOf(Column values) { return Mean(values)->value_or(0); }

class Analyzer {
 public:
  Analyzer(const RunTable& table, const AnalysisOptions& options)
      : table_(table),
        options_(options),
        headline_(HeadlineOf(table.config)),
        resamples_(std::ssize(table.samples), options.bootstrap) {}

  absl::StatusOr<RunAnalysis> Run() {
    Prepare();
    RunAnalysis analysis;
    analysis.samples = std::ssize(table_.samples);
    for (const TableSample& sample : table_.samples)
      if (!sample.done) ++analysis.unfinished;
    analysis.steps = table_.steps();
    analysis.bootstrap = options_.bootstrap;
    analysis.tau = options_.tau;
    for (size_t i = 0; i < table_.lanes.size(); ++i) {
      ASSIGN_OR_RETURN(LaneAnalysis lane, AnalyzeLane(i));
      analysis.lanes.push_back(std::move(lane));
    }
    RETURN_IF_ERROR(RankLanes(analysis));
    analysis.headline = HeadlineLanes();
    analysis.sensitivities = Sensitivities(analysis);
    for (size_t i = 0; i < table_.gaps.size(); ++i) {
      ASSIGN_OR_RETURN(GapAnalysis gap, AnalyzeGap(i));
      analysis.gaps.push_back(std::move(gap));
    }
    ASSIGN_OR_RETURN(analysis.next_attention_entropy,
                     Lag(table_.attention_entropy));
    analysis.verdict = MakeVerdict(analysis);
    Warn(analysis);
    analysis.exemplars =
        FindExemplars(table_, analysis.headline, options_.exemplars);
    return analysis;
  }

 private:
  // What all lanes share.
  void Prepare() {
    for (const double n : table_.positions)
      log_positions_.push_back(std::log(n));
    within_entropy_ = WithinSamples(table_.entropy, table_.first);
    within_ranks_ = RanksWithinSamples(table_.entropy, table_.first);
    std::vector<double> edges = options_.edges;
    if (options_.quantile_bins > 0)
      edges = QuantileEdges(table_.entropy, options_.quantile_bins);
    else if (edges.empty())
      edges.assign(DefaultEntropyEdges().begin(), DefaultEntropyEdges().end());
    by_entropy_ = BinBy(std::move(edges), table_.entropy, table_.first);
    // The study's outer bins, whatever the bins that are shown.
    const double above_high =
        std::nextafter(kHighEntropy, std::numeric_limits<double>::infinity());
    outer_ = BinBy(
        {0, kLowEntropy, above_high, std::numeric_limits<double>::infinity()},
        table_.entropy, table_.first);
  }

  Estimate Estimated(std::optional<double> value,
                     const Replicates& replicates) const {
    Estimate estimate;
    estimate.value = value;
    if (!value) return estimate;
    estimate.interval = PercentileInterval(resamples_, replicates);
    estimate.p = BootstrapP(resamples_, replicates);
    return estimate;
  }

  CorrelationEstimate Estimated(const Correlation& correlation,
                                const Replicates& replicates,
                                int controls = 0) const {
    CorrelationEstimate estimate;
    estimate.r = correlation.r;
    estimate.n = correlation.n;
    if (!correlation.r) return estimate;
    estimate.interval = PercentileInterval(resamples_, replicates);
    estimate.p = BootstrapP(resamples_, replicates);
    estimate.naive_p = NaiveP(*correlation.r, correlation.n, controls);
    return estimate;
  }

  // The mean of a column over the steps of `first`.
  Estimate MeanEstimate(const std::vector<int64_t>& first,
                        Column values) const {
    if (values.empty()) return {};
    const std::vector<int> all(values.size(), 0);
    Estimate estimate =
        Estimated(MeanOf(values),
                  ReplicateBinMeans(resamples_, first, all, 1, values)[0]);
    estimate.p.reset();  // that a mean of such figures is not 0 says nothing
    return estimate;
  }

  std::vector<BinEstimate> BinEstimates(const Binning& binning,
                                        Column values) const {
    const std::vector<Replicates> replicates = ReplicateBinMeans(
        resamples_, table_.first, binning.bin_of, binning.count(), values);
    std::vector<CompensatedSum> sums(binning.steps.size());
    for (size_t i = 0; i < values.size(); ++i)
      if (binning.bin_of[i] >= 0)
        sums[static_cast<size_t>(binning.bin_of[i])].Add(values[i]);
    std::vector<BinEstimate> bins;
    for (size_t b = 0; b < sums.size(); ++b) {
      BinEstimate& bin = bins.emplace_back();
      bin.low = binning.edges[b];
      bin.high = binning.edges[b + 1];
      bin.steps = binning.steps[b];
      bin.samples = binning.samples[b];
      if (bin.steps == 0) continue;
      bin.mean.value = sums[b].Total() / static_cast<double>(bin.steps);
      // Of one sample's steps there is no spread between samples.
      if (bin.samples > 1)
        bin.mean.interval = PercentileInterval(resamples_, replicates[b]);
    }
    return bins;
  }

  absl::StatusOr<LaneAnalysis> AnalyzeLane(size_t index) {
    const LaneColumns& columns = table_.columns[index];
    const Column recall = columns.recall;
    const std::vector<int64_t>& first = table_.first;
    LaneAnalysis lane;
    lane.lane = table_.lanes[index];
    lane.steps = table_.steps();
    lane.recall = MeanEstimate(first, recall);
    const Selected fetched =
        Select(first, columns.fetched_back, columns.fetched_back, 0,
               [&](size_t i) { return !std::isnan(columns.fetched_back[i]); });
    lane.fetched_back = MeanEstimate(fetched.first, fetched.x);

    const std::vector<Column> controls = {log_positions_, table_.step};
    const MomentReplicates moments =
        ReplicateMoments(resamples_, first, table_.entropy, recall, controls);
    ASSIGN_OR_RETURN(const Correlation pearson,
                     Pearson(table_.entropy, recall));
    lane.pearson = Estimated(pearson, moments.pearson);
    ASSIGN_OR_RETURN(const Correlation partial,
                     PartialCorrelation(table_.entropy, recall, controls));
    lane.partial = Estimated(partial, moments.partial, 2);
    ASSIGN_OR_RETURN(const std::optional<double> slope,
                     Slope(table_.entropy, recall));
    lane.slope = Estimated(slope, moments.slope);
    pearsons_.push_back(moments.pearson);
    ASSIGN_OR_RETURN(
        lane.within_pearson,
        Centred(first, within_entropy_, WithinSamples(recall, first)));
    ASSIGN_OR_RETURN(
        lane.within_spearman,
        Centred(first, within_ranks_, RanksWithinSamples(recall, first)));
    lane.bins = BinEstimates(by_entropy_, recall);
    ASSIGN_OR_RETURN(lane.next_recall, Lag(recall));
    lane.triggers = Triggers(index);
    ASSIGN_OR_RETURN(lane.score, WithScore(recall));
    return lane;
  }

  // Of columns that are centred by sample.
  absl::StatusOr<CorrelationEstimate> Centred(
      const std::vector<int64_t>& first, const std::vector<double>& x,
      const std::vector<double>& y) const {
    ASSIGN_OR_RETURN(const Correlation correlation, Pearson(x, y));
    return Estimated(correlation, ReplicateCentred(resamples_, first, x, y),
                     static_cast<int>(table_.samples.size()) - 1);
  }

  // Ranks are the costly ones: all lanes at once.
  absl::Status RankLanes(RunAnalysis& analysis) const {
    std::vector<Column> recalls;
    for (const LaneColumns& columns : table_.columns)
      recalls.push_back(columns.recall);
    const std::vector<Replicates> replicates =
        ReplicateSpearman(resamples_, table_.first, table_.entropy, recalls);
    for (size_t i = 0; i < recalls.size(); ++i) {
      ASSIGN_OR_RETURN(const Correlation spearman,
                       Spearman(table_.entropy, recalls[i]));
      analysis.lanes[i].spearman = Estimated(spearman, replicates[i]);
    }
    return absl::OkStatus();
  }

  // Entropy with `next` one step later.
  absl::StatusOr<LagEstimate> Lag(Column next) const {
    const Selected pairs = Select(table_.first, table_.entropy, next, 1,
                                  [](size_t) { return true; });
    LagEstimate lag;
    ASSIGN_OR_RETURN(const Correlation pooled, Pearson(pairs.x, pairs.y));
    lag.pooled = Estimated(
        pooled, ReplicateMoments(resamples_, pairs.first, pairs.x, pairs.y, {})
                    .pearson);
    ASSIGN_OR_RETURN(lag.within,
                     Centred(pairs.first, WithinSamples(pairs.x, pairs.first),
                             WithinSamples(pairs.y, pairs.first)));
    return lag;
  }

  // A sample's mean recall with its score, a pair for each scored sample.
  absl::StatusOr<CorrelationEstimate> WithScore(Column recall) const {
    Selected pairs;
    for (size_t s = 0; s < table_.samples.size(); ++s) {
      if (table_.samples[s].score) {
        const auto begin = static_cast<size_t>(table_.first[s]);
        const auto end = static_cast<size_t>(table_.first[s + 1]);
        pairs.x.push_back(MeanOf(recall.subspan(begin, end - begin)));
        pairs.y.push_back(*table_.samples[s].score);
      }
      pairs.first.push_back(std::ssize(pairs.x));
    }
    ASSIGN_OR_RETURN(const Correlation correlation, Pearson(pairs.x, pairs.y));
    return Estimated(correlation, ReplicateMoments(resamples_, pairs.first,
                                                   pairs.x, pairs.y, {})
                                      .pearson);
  }

  bool IsHeadline(size_t lane) const {
    return std::find(headline_.lanes.begin(), headline_.lanes.end(),
                     static_cast<int>(lane)) != headline_.lanes.end();
  }

  std::vector<TriggerEstimate> Triggers(size_t index) const {
    std::vector<TriggerEstimate> triggers;
    for (int s = 0; s < kSignals; ++s) {
      TriggerEstimate& trigger = triggers.emplace_back();
      trigger.signal = static_cast<Signal>(s);
      const TriggerSteps steps =
          StepsOf(table_, index, trigger.signal, options_.tau);
      trigger.steps = std::ssize(steps.signal);
      trigger.events =
          std::accumulate(steps.event.begin(), steps.event.end(), int64_t{0});
      trigger.area.value = RocArea(steps.signal, steps.event);
      if (!trigger.area.value || !IsHeadline(index)) continue;
      trigger.area.interval = PercentileInterval(
          resamples_,
          ReplicateAuc(resamples_, steps.first, steps.signal, steps.event));
    }
    return triggers;
  }

  // Budgets of one kind are compared with each other.
  std::vector<int> ByBudget(std::vector<int> lanes) const {
    std::stable_sort(lanes.begin(), lanes.end(), [&](int a, int b) {
      const Budget &x = BudgetOf(a), &y = BudgetOf(b);
      return std::pair(x.kind, x.value) < std::pair(y.kind, y.value);
    });
    return lanes;
  }
  const Budget& BudgetOf(int lane) const {
    return table_.config.budgets[static_cast<size_t>(
        table_.lanes[static_cast<size_t>(lane)].budget)];
  }

  std::vector<int> HeadlineLanes() const { return ByBudget(headline_.lanes); }

  // Every two budgets of a policy and scope.
  std::vector<Sensitivity> Sensitivities(const RunAnalysis& analysis) const {
    std::vector<Sensitivity> result;
    for (size_t begin = 0; begin < table_.lanes.size();) {
      std::vector<int> lanes;
      size_t end = begin;
      for (; end < table_.lanes.size() &&
             table_.lanes[end].policy == table_.lanes[begin].policy &&
             table_.lanes[end].scope == table_.lanes[begin].scope;
           ++end)
        lanes.push_back(static_cast<int>(end));
      begin = end;
      lanes = ByBudget(std::move(lanes));
      for (size_t a = 0; a < lanes.size(); ++a)
        for (size_t b = a + 1; b < lanes.size(); ++b)
          if (BudgetOf(lanes[a]).kind == BudgetOf(lanes[b]).kind)
            result.push_back(Compare(analysis, lanes[a], lanes[b]));
    }
    return result;
  }

  Sensitivity Compare(const RunAnalysis& analysis, int smaller,
                      int larger) const {
    const auto a = static_cast<size_t>(smaller);
    const auto b = static_cast<size_t>(larger);
    const std::optional<double> r_a = analysis.lanes[a].pearson.r;
    const std::optional<double> r_b = analysis.lanes[b].pearson.r;
    std::optional<double> difference;
    if (r_a && r_b) difference = *r_a - *r_b;
    return {smaller, larger,
            Estimated(difference, Difference(pearsons_[a], pearsons_[b]))};
  }

  // The lane whose recall a gap lane is compared with; −1: there is none.
  int LaneOfGap(const GapSpec& gap) const {
    const RunConfig& config = table_.config;
    for (size_t i = 0; i < table_.lanes.size(); ++i) {
      const Lane& lane = table_.lanes[i];
      const bool policy_fits =
          gap.kind == GapSpec::Kind::kOnlyPred
              ? config.policies[static_cast<size_t>(lane.policy)] == gap.policy
              : lane.policy == headline_.policy;
      if (policy_fits &&
          config.scopes[static_cast<size_t>(lane.scope)] == gap.scope &&
          config.budgets[static_cast<size_t>(lane.budget)] == gap.budget)
        return static_cast<int>(i);
    }
    return -1;
  }

  absl::StatusOr<GapAnalysis> AnalyzeGap(size_t index) const {
    const GapColumns& columns = table_.gaps[index];
    const std::vector<int64_t>& first = table_.first;
    GapAnalysis gap;
    gap.gap = static_cast<int>(index);
    gap.kl = MeanEstimate(first, columns.kl);
    gap.entropy_change = MeanEstimate(first, columns.entropy_change);
    gap.logprob_change = MeanEstimate(first, columns.logprob_change);
    ASSIGN_OR_RETURN(const Correlation pearson,
                     Pearson(table_.entropy, columns.kl));
    gap.entropy_with_kl = Estimated(
        pearson,
        ReplicateMoments(resamples_, first, table_.entropy, columns.kl, {})
            .pearson);
    ASSIGN_OR_RETURN(const Correlation spearman,
                     Spearman(table_.entropy, columns.kl));
    gap.entropy_with_kl_ranks = Estimated(
        spearman,
        ReplicateSpearman(resamples_, first, table_.entropy, {columns.kl})[0]);
    ASSIGN_OR_RETURN(gap.within, Centred(first, within_entropy_,
                                         WithinSamples(columns.kl, first)));
    gap.kl_by_entropy = BinEstimates(by_entropy_, columns.kl);
    gap.logprob_by_entropy = BinEstimates(by_entropy_, columns.logprob_change);
    const int lane = LaneOfGap(table_.config.gaps[index]);
    if (lane < 0) return gap;
    const Binning by_recall = BinBy(
        TenthEdges(), table_.columns[static_cast<size_t>(lane)].recall, first);
    gap.kl_by_recall = BinEstimates(by_recall, columns.kl);
    gap.logprob_by_recall = BinEstimates(by_recall, columns.logprob_change);
    return gap;
  }

  BudgetEvidence::Outer OuterBin(const BinEstimate& bin) const {
    return {bin.steps, bin.samples, bin.mean.value, bin.mean.interval};
  }

  Verdict MakeVerdict(const RunAnalysis& analysis) const {
    Verdict verdict;
    const RunConfig& config = table_.config;
    verdict.policy =
        config.policies[static_cast<size_t>(headline_.policy)].ToString();
    verdict.scope =
        ScopeName(config.scopes[static_cast<size_t>(headline_.scope)]);
    for (size_t i = 0; i < analysis.headline.size(); ++i) {
      const auto index = static_cast<size_t>(analysis.headline[i]);
      const LaneAnalysis& lane = analysis.lanes[index];
      BudgetEvidence evidence;
      evidence.budget = BudgetOf(analysis.headline[i]);
      evidence.slope = lane.slope.value;
      evidence.slope_interval = lane.slope.interval;
      if (i + 1 < analysis.headline.size() &&
          BudgetOf(analysis.headline[i + 1]).kind == evidence.budget.kind) {
        const Estimate difference =
            Compare(analysis, analysis.headline[i], analysis.headline[i + 1])
                .difference;
        evidence.has_larger = true;
        evidence.difference = difference.value;
        evidence.difference_interval = difference.interval;
      }
      const std::vector<BinEstimate> outer =
          BinEstimates(outer_, table_.columns[index].recall);
      evidence.low = OuterBin(outer.front());
      evidence.high = OuterBin(outer.back());
      verdict.budgets.push_back(Judge(evidence, analysis.samples));
    }
    return verdict;
  }

  void Warn(RunAnalysis& analysis) const {
    if (analysis.unfinished > 0)
      analysis.warnings.push_back(
          absl::StrCat(analysis.unfinished, " of ", analysis.samples,
                       " samples have steps but no end; their steps count"));
    for (const int index : analysis.headline) {
      const LaneAnalysis& lane = analysis.lanes[static_cast<size_t>(index)];
      const CorrelationEstimate &pooled = lane.pearson,
                                &within = lane.within_pearson;
      if (!pooled.r || !within.r || !pooled.interval || !within.interval)
        continue;
      const auto excludes_zero = [](const Interval& interval) {
        return interval.low > 0 || interval.high < 0;
      };
      if (!excludes_zero(*pooled.interval)) continue;
      const bool same_sign = (*pooled.r > 0) == (*within.r > 0);
      if (same_sign && excludes_zero(*within.interval)) continue;
      analysis.warnings.push_back(absl::StrFormat(
          "budget %s: pooled over steps r is %+.3f [%+.3f, %+.3f], within "
          "samples %+.3f [%+.3f, %+.3f]: they disagree, so the pooled figure "
          "tells samples apart, not the steps of an answer",
          BudgetOf(index).ToString(), *pooled.r, pooled.interval->low,
          pooled.interval->high, *within.r, within.interval->low,
          within.interval->high));
    }
  }

  const RunTable& table_;
  const AnalysisOptions& options_;
  const Headline headline_;
  const Resamples resamples_;
  std::vector<double> log_positions_;
  std::vector<double> within_entropy_, within_ranks_;
  Binning by_entropy_, outer_;
  std::vector<Replicates> pearsons_;  // of each lane
};

absl::Status CheckOptions(const AnalysisOptions& options) {
  RETURN_IF_ERROR(CheckBootstrap(options.bootstrap));
  if (options.quantile_bins < 0 || options.quantile_bins == 1 ||
      options.quantile_bins > 100)
    return absl::InvalidArgumentError(absl::StrCat(
        options.quantile_bins, " quantile bins; expected 2 to 100"));
  if (!(options.tau > 0 && options.tau <= 1))
    return absl::InvalidArgumentError(
        absl::StrCat("tau is ", options.tau, "; it must lie in (0, 1]"));
  // The edges are checked by what bins with them.
  return options.edges.empty() ? absl::OkStatus()
                               : MeanByBin({}, {}, {}, options.edges).status();
}

}  // namespace

absl::StatusOr<RunAnalysis> AnalyzeRun(const RunTable& table,
                                       const AnalysisOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  if (table.steps() == 0)
    return absl::FailedPreconditionError(
        "the run has no steps yet; there is nothing to analyse");
  return Analyzer(table, options).Run();
}

}  // namespace kvrecall
