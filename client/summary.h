#pragma once

// The figures of a run's result table, from its events. Quantities and their
// averages are those of common/METRICS.md. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

// One policy × scope × budget: means over the steps where the quantity is
// defined. Empty: on none.
struct LaneSummary {
  Lane lane;
  int64_t steps = 0;
  std::optional<double> recall;
  std::optional<double> chance;
  std::optional<double> lift;
  std::optional<double> mass;
  std::optional<double> mass_ratio;
  std::optional<double> recall_without_free_hits;
  std::optional<double> drift;
  std::optional<double> fetched_back;  // positions per step
  std::optional<double> pearson;       // entropy with recall, pooled over steps
  int64_t pearson_n = 0;               // pairs
};

// One gap lane: means over all steps. Empty: no step, or no score.
struct GapSummary {
  int64_t steps = 0;
  std::optional<double> kl;              // nats
  std::optional<double> entropy_change;  // nats
  std::optional<double> logprob_change;  // nats
  std::optional<double> top1_agreement;  // share of the steps, [0, 1]
  std::optional<double> score;           // mean over scored samples, [0, 1]
  int64_t scored_samples = 0;
};

// The steps whose entropy lies in [low, high).
struct BinSummary {
  double low = 0;   // nats
  double high = 0;  // nats, may be infinite
  int64_t steps = 0;
  int64_t samples = 0;                        // that have such a step
  std::vector<std::optional<double>> recall;  // per budget of the run
};

// LongBench-E reports scores by the length of the samples.
struct LengthScore {
  const char* words = "";       // "0-4k", "4-8k" or "8k+"
  std::optional<double> score;  // mean over scored samples, [0, 1]
  int64_t samples = 0;          // scored
};

struct SampleProblem {
  std::string sample_id;
  std::string reason;
  std::string message;
};

struct RunSummary {
  RunConfig config;
  int64_t samples_done = 0;
  int64_t samples_reused = 0;  // of these: with records of an earlier run
  int64_t samples_failed = 0;
  int64_t samples_unfinished = 0;  // started, with no end yet
  int64_t steps = 0;               // of the attempts that count
  int64_t prompt_tokens = 0;
  int64_t generated_tokens = 0;  // of finished samples
  std::optional<double> score;   // mean over scored samples, [0, 1]
  int64_t scored_samples = 0;
  std::vector<LengthScore> score_by_length;  // of LongBench-E, else empty
  std::vector<SampleProblem> problems;
  std::vector<LaneSummary> lanes;  // in the order of Lanes(config)
  std::vector<GapSummary> gaps;    // in the order of config.gaps
  // Whose recall the bins show: `h2o` in scope `global`, or else the run's
  // first policy and the first scope that it is defined in.
  int bins_policy = 0;
  int bins_scope = 0;
  std::vector<BinSummary> bins;
};

// Takes events in the order of their sequence. Only a sample's last attempt
// counts, so what an earlier one left is dropped when a later one shows.
// Keeps one number per step and lane.
class SummaryBuilder {
 public:
  explicit SummaryBuilder(RunConfig config);

  // DATA_LOSS if a step has not one recall per lane and one gap per gap lane.
  absl::Status Add(const Event& event);

  // Takes over what `other` has seen of another part of the study, which has
  // none of these samples: behind all that was seen here.
  void Append(SummaryBuilder other);

  // All events seen, those of dropped attempts included.
  int64_t events() const { return events_; }
  int64_t last_sequence() const { return last_sequence_; }

  // INVALID_ARGUMENT if a record has a NaN or an infinity.
  absl::StatusOr<RunSummary> Summarize() const;

 private:
  // A mean in the making; steps where the quantity is not defined are left out.
  struct Sum {
    double sum = 0;
    int64_t n = 0;

    void Add(std::optional<double> value);
    void Add(const Sum& other);
    std::optional<double> Mean() const;
  };
  struct LaneSeries {
    std::vector<double> recall;  // per step
    Sum chance, lift, mass, mass_ratio;
    Sum recall_without_free_hits, drift, fetched_back;
  };
  struct GapSeries {
    Sum kl, entropy_change, logprob_change, top1_agreement;
  };
  struct SampleSeries {
    int64_t attempt = 0;
    std::vector<double> entropy;  // nats, per step
    std::vector<LaneSeries> lanes;
    std::vector<GapSeries> gaps;
    std::optional<SampleStart> start;
    std::optional<SampleResult> result;
    std::optional<SampleFailure> failure;
  };

  absl::Status AddStep(SampleSeries& sample, const StepRecord& step) const;
  // One column over all steps, samples in order of appearance.
  std::vector<double> Entropies() const;
  std::vector<double> Recalls(size_t lane) const;
  absl::StatusOr<LaneSummary> SummarizeLane(
      size_t lane, const std::vector<double>& entropies) const;
  GapSummary SummarizeGap(size_t gap) const;
  std::vector<LengthScore> ScoreByLength() const;
  absl::StatusOr<std::vector<BinSummary>> SummarizeBins(
      int policy, int scope, const std::vector<double>& entropies) const;

  RunConfig config_;
  std::vector<Lane> lanes_;
  std::map<std::string, SampleSeries> samples_;
  std::vector<std::string> order_;  // of first appearance
  int64_t events_ = 0;
  int64_t last_sequence_ = 0;
};

}  // namespace kvrecall
