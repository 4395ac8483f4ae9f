// Micro-benchmarks of the engine's kernels at Qwen2.5-0.5B's shapes: 14 query
// heads on 2 KV heads of 64, hidden 896, feed-forward 4864.

#include <algorithm>
#include <thread>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "c10/core/InferenceMode.h"
#include <benchmark/benchmark.h>

#include "server/engine/attention.h"
#include "server/engine/elementwise.h"
#include "server/engine/linear.h"
#include "server/engine/sampler.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/gap.h"
#include "server/telemetry/scope_rows.h"
#include "server/telemetry/selector.h"
#include "server/telemetry/telemetry.h"

namespace kvrecall {
namespace {

constexpr int64_t kHeads = 14, kGroups = 2, kHeadDim = 64;
constexpr int64_t kHidden = 896, kFeedForward = 4864, kChunk = 512;
constexpr int64_t kLayers = 24, kVocabulary = 151936;

at::ScalarType Dtype(int64_t bits) {
  return bits == 16 ? at::kBFloat16 : at::kFloat;
}

at::Tensor Random(std::vector<int64_t> shape, at::ScalarType dtype) {
  return at::randn(shape).to(dtype);
}

std::unique_ptr<KvCache> FilledCache(int64_t n, at::ScalarType dtype) {
  std::unique_ptr<KvCache> cache =
      MakeKvCache({1, kGroups, kHeadDim, n}, at::TensorOptions().dtype(dtype));
  cache->Write(0, 0, Random({n, kGroups, kHeadDim}, dtype),
               Random({n, kGroups, kHeadDim}, dtype));
  return cache;
}

// The last chunk of a prefill: {positions, bits, with sums}.
void PrefillAttention(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  const at::ScalarType dtype = Dtype(state.range(1));
  const std::unique_ptr<KvCache> cache = FilledCache(n, dtype);
  const at::Tensor q = Random({kChunk, kHeads, kHeadDim}, dtype);
  AttentionRequest request;
  if (state.range(2) != 0)
    request.sums.push_back({0, at::zeros({kGroups, n}, at::kDouble)});
  for (auto _ : state)
    benchmark::DoNotOptimize(cache->Attend(0, n, q, request));
  const double pairs = kChunk * (static_cast<double>(n) - kChunk / 2.0);
  state.counters["flops"] =
      benchmark::Counter(4 * pairs * kHeads * kHeadDim,
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(PrefillAttention)
    ->ArgsProduct({{512, 2048, 4096, 16384}, {16, 32}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

// A decode step of one layer: {positions, bits, with rows}.
void DecodeAttention(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  const at::ScalarType dtype = Dtype(state.range(1));
  const std::unique_ptr<KvCache> cache = FilledCache(n, dtype);
  const at::Tensor q = Random({1, kHeads, kHeadDim}, dtype);
  AttentionRequest request;
  if (state.range(2) != 0)
    request.rows.push_back({0, at::zeros({kGroups, n}, at::kFloat)});
  for (auto _ : state)
    benchmark::DoNotOptimize(cache->Attend(0, n, q, request));
  state.SetBytesProcessed(state.iterations() * n * kGroups * kHeadDim * 2 *
                          (state.range(1) / 8));
}
BENCHMARK(DecodeAttention)
    ->ArgsProduct({{1024, 8192}, {16, 32}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// Lanes of one position, each of which sees half of the past: {past, bits,
// lanes}.
void MaskedAttention(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t past = state.range(0);
  const int64_t lanes = state.range(2);
  const at::ScalarType dtype = Dtype(state.range(1));
  const std::unique_ptr<KvCache> cache = FilledCache(past + 1, dtype);
  LaneQueries queries = {Random({lanes, kHeads, kHeadDim}, dtype),
                         Random({lanes, kGroups, kHeadDim}, dtype),
                         Random({lanes, kGroups, kHeadDim}, dtype),
                         {}};
  for (int64_t i = 0; i < lanes; ++i)
    queries.visible.push_back(at::rand({1, past}).lt(0.5).to(at::kByte));
  for (auto _ : state)
    benchmark::DoNotOptimize(cache->AttendMasked(0, past, queries));
  state.counters["flops"] =
      benchmark::Counter(4.0 * static_cast<double>(lanes * past) * kHeads *
                             static_cast<double>(kHeadDim),
                         benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(MaskedAttention)
    ->ArgsProduct({{4096, 16384}, {16, 32}, {1, 6, 16}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// Products of all layers' keys with a direction each: {positions, bits}.
void DirectionProducts(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  const at::ScalarType dtype = Dtype(state.range(1));
  const std::unique_ptr<KvCache> cache = MakeKvCache(
      {kLayers, kGroups, kHeadDim, n}, at::TensorOptions().dtype(dtype));
  for (int64_t l = 0; l < kLayers; ++l) {
    const at::Tensor kv = Random({n, kGroups, kHeadDim}, dtype);
    cache->Write(l, 0, kv, kv);
  }
  const at::Tensor directions = at::randn({kLayers, kGroups, kHeadDim});
  for (auto _ : state)
    benchmark::DoNotOptimize(cache->KeyProducts(directions, n));
  state.SetBytesProcessed(state.iterations() * kLayers * n * kGroups *
                          kHeadDim * (state.range(1) / 8));
}
BENCHMARK(DirectionProducts)
    ->ArgsProduct({{4096, 16384}, {16, 32}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void StoreKeysAndValues(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t rows = state.range(0);
  const std::unique_ptr<KvCache> cache = FilledCache(kChunk, at::kBFloat16);
  const at::Tensor kv = Random({rows, kGroups, kHeadDim}, at::kBFloat16);
  for (auto _ : state) cache->Write(0, 0, kv, kv);
}
BENCHMARK(StoreKeysAndValues)->Arg(1)->Arg(kChunk)->UseRealTime();

void Norm(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor x = Random({state.range(0), kHidden}, at::kBFloat16);
  const at::Tensor weight = Random({kHidden}, at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(RmsNorm(x, weight, 1e-6));
}
BENCHMARK(Norm)->Arg(1)->Arg(kChunk)->UseRealTime();

void Silu(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor x =
      Random({state.range(0), 2 * kFeedForward}, at::kBFloat16);
  for (auto _ : state) benchmark::DoNotOptimize(SiluMul(x));
}
BENCHMARK(Silu)->Arg(1)->Arg(kChunk)->UseRealTime();

void Rotate(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t rows = state.range(0);
  const at::Tensor x = Random({rows, kHeads, kHeadDim}, at::kBFloat16);
  const at::Tensor angles = at::randn({rows, kHeadDim / 2});
  for (auto _ : state) RotateInPlace(x, angles, angles);
}
BENCHMARK(Rotate)->Arg(1)->Arg(kChunk)->UseRealTime();

void Add(benchmark::State& state) {
  const c10::InferenceMode guard;
  at::Tensor x = Random({state.range(0), kHidden}, at::kBFloat16);
  const at::Tensor y = Random({state.range(0), kHidden}, at::kBFloat16);
  for (auto _ : state) x.add_(y);
}
BENCHMARK(Add)->Arg(1)->Arg(kChunk)->UseRealTime();

// {rows, out, in, bits}
void Product(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::ScalarType dtype = Dtype(state.range(3));
  const at::Tensor x = Random({state.range(0), state.range(2)}, dtype);
  const at::Tensor w = Random({state.range(1), state.range(2)}, dtype);
  for (auto _ : state) benchmark::DoNotOptimize(Linear(x, w, {}));
  state.counters["flops"] =
      benchmark::Counter(2.0 * static_cast<double>(state.range(0)) *
                             static_cast<double>(w.numel()),
                         benchmark::Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(state.iterations() *
                          static_cast<int64_t>(w.nbytes()));
}
BENCHMARK(Product)
    ->ArgsProduct({{1, 6, 16, kChunk}, {2 * kFeedForward}, {kHidden}, {16, 32}})
    ->ArgsProduct({{1, 6, 16, kChunk}, {kHidden}, {kFeedForward}, {16, 32}})
    ->ArgsProduct({{1, 6, 16, kChunk}, {1152}, {kHidden}, {16, 32}})
    ->ArgsProduct({{1, 6, 16}, {kVocabulary}, {kHidden}, {16, 32}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// ---- Telemetry ------------------------------------------------------------

// Rows as a model gives them: peaked, sums of 1.
at::Tensor Rows(int64_t n) {
  return at::softmax(at::randn({kLayers, kGroups, n}) * 4, -1);
}

// Three budgets' sets of 24 rows and what they are worth: {positions, bits of
// the scores}.
void FormRowSets(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  const at::Tensor rows = Rows(n).mean(1);
  SetJob job;
  job.scores = {state.range(1) == 64 ? rows.to(at::kDouble) : rows};
  job.budgets = 3;
  job.ks = {n / 10, n / 5, 3 * n / 10};
  job.weights = rows;
  job.other = at::zeros({kLayers, n}, at::kShort);
  for (auto _ : state) benchmark::DoNotOptimize(FormSets({&job, 1}));
  state.SetItemsProcessed(state.iterations() * rows.numel());
}
BENCHMARK(FormRowSets)
    ->ArgsProduct({{1024, 8192, 32768}, {32, 64}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

// Sets that go on from the step before: one position in, one out.
void GoOnFromHeld(benchmark::State& state) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  const at::Tensor rows = Rows(n).mean(1);
  SetJob job;
  job.scores = {rows.to(at::kDouble), {1}};
  job.budgets = 3;
  job.ks = {n / 10, n / 5, 3 * n / 10};
  job.weights = rows;
  job.other = at::zeros({kLayers, n}, at::kShort);
  job.held = at::zeros({kLayers, n}, at::kShort);
  FormSets({&job, 1});
  job.had = job.ks;
  for (auto _ : state) benchmark::DoNotOptimize(FormSets({&job, 1}));
}
BENCHMARK(GoOnFromHeld)
    ->Arg(8192)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void ToLayers(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor rows = Rows(state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(RowsToScope(rows, Scope::kLayer));
}
BENCHMARK(ToLayers)->Arg(8192)->UseRealTime()->Unit(benchmark::kMicrosecond);

void ToGlobal(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor rows = Rows(state.range(0));
  for (auto _ : state)
    benchmark::DoNotOptimize(RowsToScope(rows, Scope::kGlobal));
}
BENCHMARK(ToGlobal)->Arg(8192)->UseRealTime()->Unit(benchmark::kMicrosecond);

void AttentionEntropies(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor rows = Rows(state.range(0)).mean(1);
  for (auto _ : state) benchmark::DoNotOptimize(LayerEntropies(rows));
}
BENCHMARK(AttentionEntropies)
    ->Arg(8192)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

void Logits(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor logits = at::randn({kVocabulary}) * 3;
  for (auto _ : state) benchmark::DoNotOptimize(DescribeLogits(logits));
}
BENCHMARK(Logits)->UseRealTime()->Unit(benchmark::kMicrosecond);

// Six gap lanes beside the oracle.
void Gaps(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor logits = at::randn({kVocabulary}) * 3;
  const at::Tensor lanes = logits + at::randn({6, kVocabulary});
  const TokenDistribution distribution = *DescribeLogits(logits);
  for (auto _ : state)
    benchmark::DoNotOptimize(CompareGaps(logits, distribution, lanes, 0));
}
BENCHMARK(Gaps)->UseRealTime()->Unit(benchmark::kMicrosecond);

void Greedy(benchmark::State& state) {
  const c10::InferenceMode guard;
  const at::Tensor logits = at::randn({kVocabulary}) * 3;
  for (auto _ : state) benchmark::DoNotOptimize(GreedyToken(logits));
}
BENCHMARK(Greedy)->UseRealTime()->Unit(benchmark::kMicrosecond);

// Keys that nobody looks at.
class NoKeys final : public Sequence {
 public:
  int64_t length() const override { return 0; }
  int64_t capacity() const override { return 0; }
  at::Tensor Keys(int64_t, int64_t) const override { return {}; }
  at::Tensor KeyProducts(const at::Tensor&, int64_t) const override {
    return {};
  }
};

// All that a step's telemetry does once the model has answered, by policies.
void Observe(benchmark::State& state, const char* policies,
             const char* scopes) {
  const c10::InferenceMode guard;
  const int64_t n = state.range(0);
  RunConfig config;
  config.policies = *ParsePolicySpecs(policies);
  config.scopes = *ParseScopes(scopes);
  config.budgets = *ParseBudgets("0.1,0.2,0.3");
  auto telemetry = *SampleTelemetry::Create(config, {kLayers, n, 1}, {0});
  PrefillObservation prefill;
  prefill.sums = Rows(n - 1) * 10;
  prefill.last_row = Rows(n - 1);
  for (size_t i = 0; i < telemetry->windows().size(); ++i)
    prefill.window_sums.push_back(Rows(n - 1) * 10);
  const NoKeys keys;
  telemetry->Begin(prefill, keys);
  const at::Tensor rows = Rows(n);
  for (auto _ : state)
    benchmark::DoNotOptimize(telemetry->Observe(rows, {}, 0, 0));
}
BENCHMARK_CAPTURE(Observe, three, "h2o,random,oracle", "global,layer")
    ->Arg(1024)
    ->Arg(8192)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Observe, six,
                  "h2o,h2o_window,h2o_mean,streaming,snapkv,random",
                  "global,layer")
    ->Arg(8192)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(Observe, heads, "h2o,random,oracle", "head")
    ->Arg(4096)
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  at::set_num_threads(
      static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
