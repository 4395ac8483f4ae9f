#include "server/observability/run_metrics.h"

#include <limits>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "prometheus/histogram.h"

#include "server/observability/histogram_batch.h"
#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

class RunMetricsTest : public MetricsTest {
 protected:
  static StepRecord Step(int64_t t) {
    StepRecord step;
    step.step = t;
    return step;
  }

  RunMetrics& runs_ = metrics_.runs();
};

TEST_F(RunMetricsTest, TheCacheIsUsedWhileASampleRuns) {
  runs_.SetContextWindow(1000);
  StepRecord step = Step(1);
  step.n = 250;
  runs_.OnStep(step, absl::Seconds(1));
  EXPECT_EQ(Value("kvrecall_kv_cache_usage_ratio"), 0.25);
  runs_.OnIdle();
  EXPECT_EQ(Value("kvrecall_kv_cache_usage_ratio"), 0);
}

TEST_F(RunMetricsTest, PassesAreTimedByTheirPhase) {
  runs_.OnPass(EnginePhase::kPrefill, absl::Seconds(2));
  runs_.OnPass(EnginePhase::kDecode, absl::Milliseconds(30));
  runs_.OnPass(EnginePhase::kGap, absl::Milliseconds(40));
  runs_.OnIdle();
  const auto sum = [&](const char* phase) {
    return Value(absl::StrCat("kvrecall_engine_step_seconds_sum{phase=\"",
                              phase, "\"}"));
  };
  EXPECT_EQ(sum("prefill"), 2);
  EXPECT_DOUBLE_EQ(sum("decode"), 0.03);
  EXPECT_DOUBLE_EQ(sum("gap"), 0.04);
}

TEST_F(RunMetricsTest, TimesAreThoseThatTheRunnerTold) {
  runs_.OnStep(Step(1), absl::Seconds(3));
  runs_.OnStep(Step(2), absl::Milliseconds(20));
  runs_.OnStep(Step(3), absl::Milliseconds(30));
  runs_.OnSampleFinished(absl::Seconds(4));
  runs_.OnSampleFinished(absl::Seconds(5));
  runs_.OnSampleFailed({"OUT_OF_MEMORY", ""});
  runs_.OnSampleFailed({"NONFINITE_LOGITS", ""});
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(Value("kvrecall_time_to_first_token_seconds_sum"), 3);
  EXPECT_EQ(Value("kvrecall_inter_token_latency_seconds_count"), 2);
  EXPECT_NEAR(Value("kvrecall_inter_token_latency_seconds_sum"), 0.05, 1e-9);
  EXPECT_EQ(Value("kvrecall_e2e_sample_latency_seconds_sum"), 9);
  EXPECT_EQ(Value("kvrecall_out_of_memory_total"), 1);
  EXPECT_EQ(Value("kvrecall_nonfinite_values_total{kind=\"logit\"}"), 1);
}

// A tenth of a second's, at most 128 passes and steps, and never beyond the end
// of a sample, however it ends.
TEST_F(RunMetricsTest, ShortStepsAreCountedTogether) {
  const auto counted = [&] {
    const double steps = Value("kvrecall_inter_token_latency_seconds_count");
    EXPECT_EQ(Value("kvrecall_engine_step_seconds_count{phase=\"decode\"}"),
              steps);
    return steps;
  };
  const auto tell = [&](absl::Duration time, int steps) {
    for (int i = 0; i < steps; ++i) {
      runs_.OnPass(EnginePhase::kDecode, time);
      runs_.OnStep(Step(2), time);
    }
  };
  tell(absl::Milliseconds(24), 2);  // 96 ms, as passes and steps count both
  EXPECT_EQ(counted(), 0);
  tell(absl::Milliseconds(24), 1);
  EXPECT_EQ(counted(), 3);
  tell(absl::Microseconds(1), 63);
  EXPECT_EQ(counted(), 3);
  tell(absl::Microseconds(1), 1);
  EXPECT_EQ(counted(), 67);
  tell(absl::Microseconds(1), 5);
  runs_.OnSampleFinished(absl::Seconds(1));
  EXPECT_EQ(counted(), 72);
  tell(absl::Microseconds(1), 5);
  runs_.OnIdle();
  EXPECT_EQ(counted(), 77);
}

// As one by one: bounds belong to the bucket below, and what is beyond the last
// has one too.
TEST(HistogramBatchTest, ValuesAreSortedAsTheHistogramDoes) {
  const std::vector<double> bounds = {0.5, 1, 2};
  prometheus::Histogram one_by_one(bounds), together(bounds);
  {
    HistogramBatch batch(&together, bounds);
    for (const double value : {-1.0, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 1e9}) {
      one_by_one.Observe(value);
      batch.Add(value);
    }
    batch.Add(std::numeric_limits<double>::infinity());
    batch.Add(std::numeric_limits<double>::quiet_NaN());
  }
  const auto expected = one_by_one.Collect().histogram;
  const auto histogram = together.Collect().histogram;
  EXPECT_EQ(histogram.sample_count, expected.sample_count);
  EXPECT_EQ(histogram.sample_sum, expected.sample_sum);
  ASSERT_EQ(histogram.bucket.size(), expected.bucket.size());
  for (size_t i = 0; i < expected.bucket.size(); ++i)
    EXPECT_EQ(histogram.bucket[i].cumulative_count,
              expected.bucket[i].cumulative_count)
        << i;
}

}  // namespace
}  // namespace kvrecall
