// What a step costs the engine thread in metrics. usage: metrics_bench

#include "benchmark/benchmark.h"
#include "server/observability/metrics.h"

namespace kvrecall {
namespace {

// 6 policies × 3 budgets of scope global, all told apart.
void BM_Step(benchmark::State& state) {
  constexpr char kPolicies[] = "h2o,h2o_evict,snapkv,streaming,random,oracle";
  constexpr char kBudgets[] = "0.1,0.2,0.3";
  const auto lanes = ParseLaneLabels(kPolicies, kBudgets);
  Metrics metrics(*lanes);
  RunConfig config;
  config.task = "hotpotqa";
  for (const LaneLabel& policy : lanes->policies)
    config.policies.push_back(*ParsePolicySpec(policy.name));
  config.scopes = {Scope::kGlobal};
  for (const LaneLabel& budget : lanes->budgets)
    config.budgets.push_back(*ParseBudget(budget.name));
  StepRecord step;
  step.step = 2;
  step.n = 1000;
  step.entropy = 1.25;
  step.recalls.resize(Lanes(config).size());
  for (RecallRecord& recall : step.recalls) recall.recall = 0.4;
  for (auto _ : state) {
    metrics.runs().OnPass(EnginePhase::kDecode, absl::Milliseconds(20));
    metrics.runs().OnStep(config, step, absl::Milliseconds(20));
  }
}
BENCHMARK(BM_Step);

}  // namespace
}  // namespace kvrecall

BENCHMARK_MAIN();
