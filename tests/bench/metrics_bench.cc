// What a step costs in metrics: the engine thread, and the writer thread, which
// has its record. usage: metrics_bench

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
    auto config = std::make_shared<RunConfig>();
    config->task = "hotpotqa";
    for (const LaneLabel& policy : lanes->policies)
      config->policies.push_back(*ParsePolicySpec(policy.name));
    config->scopes = {Scope::kGlobal};
    for (const LaneLabel& budget : lanes->budgets)
      config->budgets.push_back(*ParseBudget(budget.name));
    config_ = config;
    step_.step = 2;
    step_.n = 1000;
    step_.entropy = 1.25;
    step_.recalls.resize(Lanes(*config_).size());
    MakeRecord();
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

  // As one transaction, each step appended by itself.
  std::vector<AppendedEvents> Appended(int64_t steps) const {
    std::vector<AppendedEvents> appended;
    for (int64_t i = 0; i < steps; ++i)
      appended.push_back({"run", "sample", 1, i + 1,
                          std::make_shared<const std::vector<Event>>(
                              std::vector<Event>{{i + 1, "sample", 1, step_}}),
                          config_});
    return appended;
  }
  void Commit(const std::vector<AppendedEvents>& appended) {
    CommitReport commit;
    commit.events = std::ssize(appended);
    commit.appended = appended;
    metrics_->store().OnCommit(commit);
  }

 private:
  std::unique_ptr<Metrics> metrics_;
  std::shared_ptr<const RunConfig> config_;
  StepRecord step_;
};

void BM_Engine(benchmark::State& state) {
  Steps steps;
  for (auto _ : state) steps.Tell();
}
BENCHMARK(BM_Engine);

// The model's step has gone through its weights in between: what metrics touch
// is no longer in the nearest caches.
void BM_EngineAfterAModelsStep(benchmark::State& state) {
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
// Few: nearly all of an iteration is what is not timed.
BENCHMARK(BM_EngineAfterAModelsStep)->UseManualTime()->Iterations(20'000);

// A transaction of so many steps.
void BM_Writer(benchmark::State& state) {
  Steps steps;
  const std::vector<AppendedEvents> appended = steps.Appended(state.range(0));
  for (auto _ : state) steps.Commit(appended);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_Writer)->Arg(1)->Arg(64);

}  // namespace
}  // namespace kvrecall

BENCHMARK_MAIN();
