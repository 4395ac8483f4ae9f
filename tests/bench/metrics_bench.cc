// What a step costs the engine thread in metrics. usage: metrics_bench

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "server/observability/metrics.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kTime = absl::Microseconds(300);

// 6 policies × 3 budgets of scope global, all told apart.
class Steps {
 public:
  Steps() {
    constexpr char kPolicies[] = "h2o,h2o_evict,snapkv,streaming,random,oracle";
    constexpr char kBudgets[] = "0.1,0.2,0.3";
    const auto lanes = ParseLaneLabels(kPolicies, kBudgets);
    metrics_ = std::make_unique<Metrics>(*lanes);
    config_.task = "hotpotqa";
    for (const LaneLabel& policy : lanes->policies)
      config_.policies.push_back(*ParsePolicySpec(policy.name));
    config_.scopes = {Scope::kGlobal};
    for (const LaneLabel& budget : lanes->budgets)
      config_.budgets.push_back(*ParseBudget(budget.name));
    step_.step = 2;
    step_.n = 1000;
    step_.entropy = 1.25;
    step_.recalls.resize(Lanes(config_).size());
    MakeRecord();
    metrics_->runs().OnSampleStarted(config_, {});
  }

  // As the engine does it, so that the record itself is in the caches.
  void MakeRecord() {
    for (RecallRecord& recall : step_.recalls) {
      recall = RecallRecord();
      recall.recall = 0.4;
    }
    benchmark::ClobberMemory();
  }

  void Tell() {
    metrics_->runs().OnPass(EnginePhase::kDecode, kTime);
    metrics_->runs().OnStep(step_, kTime);
  }

 private:
  std::unique_ptr<Metrics> metrics_;
  RunConfig config_;
  StepRecord step_;
};

void BM_Step(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) steps.Tell();
}
BENCHMARK(BM_Step);

// The model's step has gone through its weights in between: what metrics touch
// is no longer in the nearest caches.
void BM_StepAfterAModels(benchmark::State& state) {
  constexpr size_t kLine = 64;
  std::vector<char> weights(8 << 20, 1);
  Steps steps;
  for (auto _ : state) {
    for (size_t i = 0; i < weights.size(); i += kLine) ++weights[i];
    steps.MakeRecord();
    const auto begin = std::chrono::steady_clock::now();
    steps.Tell();
    const std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(time.count());
  }
}
BENCHMARK(BM_StepAfterAModels)->UseManualTime();

}  // namespace
}  // namespace kvrecall

BENCHMARK_MAIN();
