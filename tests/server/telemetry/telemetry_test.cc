#include "server/telemetry/telemetry.h"

#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>
#include <malloc.h>

#include "common/record/policy_catalog.h"
#include "server/engine/memory.h"
#include "server/engine/scripted_model.h"
#include "server/telemetry/scope_rows.h"
#include "tests/reference/recall_reference.h"

namespace kvrecall {
namespace {

RunConfig Config(const char* policies, const char* budgets) {
  RunConfig config;
  const auto specs = ParsePolicySpecs(policies);
  for (const PolicySpec& spec : *specs)
    config.policies.push_back(*CompletePolicySpec(spec));
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = *ParseBudgets(budgets);
  return config;
}

TEST(DistributionTest, EqualsTheFormulas) {
  auto d = DescribeLogits(at::tensor({0.0f, std::log(2.0f), std::log(5.0f)}));
  ASSERT_TRUE(d.ok());
  const double p[] = {1.0 / 8, 2.0 / 8, 5.0 / 8};
  double entropy = 0;
  for (double x : p) entropy -= x * std::log(x);
  EXPECT_NEAR(d->entropy, entropy, 1e-7);
  EXPECT_NEAR(d->p_max, 5.0 / 8, 1e-7);
  EXPECT_NEAR(d->margin, 3.0 / 8, 1e-7);
  EXPECT_NEAR(d->log_normalizer, std::log(8.0), 1e-7);
}

TEST(DistributionTest, StaysInItsRange) {
  auto flat = DescribeLogits(at::zeros({152064}));
  EXPECT_NEAR(flat->entropy, std::log(152064.0), 1e-9);
  EXPECT_EQ(flat->margin, 0);
  at::Tensor sharp = at::full({1000}, -3e38f);
  sharp[5] = 3e38f;
  auto certain = DescribeLogits(sharp);
  EXPECT_EQ(certain->entropy, 0);
  EXPECT_EQ(certain->p_max, 1);
  EXPECT_EQ(DescribeLogits(at::zeros({1}))->entropy, 0);
}

TEST(DistributionTest, RefusesWhatIsNotFinite) {
  for (const float bad : {NAN, INFINITY, -INFINITY})
    EXPECT_EQ(DescribeLogits(at::tensor({0.0f, bad})).status().code(),
              absl::StatusCode::kDataLoss);
}

TEST(ScopeRowsTest, GlobalIsTheMeanOfTheLayers) {
  at::manual_seed(1);
  const at::Tensor rows = at::softmax(at::randn({3, 2, 10}), -1);
  const at::Tensor layer = RowsToScope(rows, Scope::kLayer);
  const at::Tensor global = RowsToScope(rows, Scope::kGlobal);
  EXPECT_EQ(layer.size(0), 3);
  EXPECT_EQ(global.size(0), 1);
  EXPECT_LE((layer.mean(0) - global[0]).abs().max().item<float>(), 1e-7);
  EXPECT_LE((layer.sum(-1) - 1).abs().max().item<float>(), 1e-6);
}

TEST(ScopeRowsTest, AttentionEntropyOfUniformAndCertainLayers) {
  at::Tensor rows = at::zeros({2, 1, 4});
  rows[0].fill_(0.25);
  rows[1][0][2] = 1;
  const AttentionEntropy entropy =
      MeanEntropy(LayerEntropies(RowsToScope(rows, Scope::kLayer)));
  EXPECT_NEAR(entropy.mean, std::log(4.0) / 2, 1e-9);
  EXPECT_NEAR(entropy.standard_deviation, std::log(4.0) / 2, 1e-9);
}

// The whole path against plain sets: accumulated scores hold the prompt's
// queries but the last and the earlier steps, never the step's own row.
// As for a GPU: a step's figures are asked for when the next one has been
// computed, and taken behind the one after that.
TEST(SampleTelemetryTest, MayFallAStepBehindTheSequence) {
  const RunConfig config =
      Config("h2o,tova,knorm,keydiff,snapkv,random,oracle", "0.1,0.4,1");
  constexpr int64_t kSteps = 9;
  const std::vector<int64_t> prompt = {9, 8, 7, 6, 5, 4, 3};
  std::vector<std::vector<StepRecord>> records(2);
  for (const bool behind : {false, true}) {
    auto model = MakeScriptedModel({});
    auto telemetry = SampleTelemetry::Create(
        config, {model->info().layers, std::ssize(prompt), kSteps}, {});
    ASSERT_TRUE(telemetry.ok()) << telemetry.status();
    auto sequence = model->NewSequence(32);
    PrefillOptions options;
    options.windows = (*telemetry)->windows();
    auto prefill = model->Prefill(
        **sequence, std::span(prompt).first(prompt.size() - 1), options);
    (*telemetry)->Begin(*prefill, **sequence);
    std::vector<StepObservation> seen;
    const auto queue = [&](size_t t) {
      (*telemetry)->Queue(seen[t].rows, *DescribeLogits(seen[t].logits), 3, 0);
    };
    const auto take = [&] { records[behind].push_back((*telemetry)->Take()); };
    for (size_t t = 0; t < kSteps; ++t) {
      const StepInput input{sequence->get(), prompt[t % prompt.size()]};
      seen.push_back((*model->Step({&input, 1}))[0]);
      if (!behind) {
        queue(t);
        take();
        continue;
      }
      if (t >= 2) take();
      if (t >= 1) queue(t - 1);
    }
    if (!behind) continue;
    take();
    queue(kSteps - 1);
    take();
  }
  ASSERT_EQ(records[1].size(), kSteps);
  for (size_t t = 0; t < kSteps; ++t)
    EXPECT_TRUE(records[0][t] == records[1][t]) << t;
}

TEST(SampleTelemetryTest, EqualsTheDefinitionStepByStep) {
  auto model = MakeScriptedModel({});
  const std::vector<int64_t> prompt = {9, 8, 7, 6, 5, 4, 3};
  const int64_t p = 7, steps = 12;
  const RunConfig config = Config("h2o,oracle", "0.1,0.4,1");
  auto sequence = model->NewSequence(32);
  auto prefill = model->Prefill(**sequence, std::span(prompt).first(p - 1), {});
  auto telemetry =
      SampleTelemetry::Create(config, {model->info().layers, p, steps}, {});
  (*telemetry)->Begin(*prefill, **sequence);

  std::vector<double> sums(p + steps, 0.0);
  const at::Tensor first = RowsToScope(prefill->sums, Scope::kGlobal)[0];
  for (int64_t j = 0; j < p - 1; ++j) sums[j] = first[j].item<float>();
  int64_t token = prompt.back();
  for (int64_t t = 1; t <= steps; ++t) {
    const StepInput input{sequence->get(), token};
    auto step = model->Step({&input, 1});
    const StepObservation& seen = (*step)[0];
    token = 10 + t;
    const StepRecord record =
        (*telemetry)
            ->Observe(seen.rows, *DescribeLogits(seen.logits), token, 0);
    const int64_t n = p - 1 + t;
    EXPECT_EQ(record.step, t);
    EXPECT_EQ(record.n, n);
    ASSERT_EQ(record.recalls.size(), Lanes(config).size());
    const at::Tensor row = RowsToScope(seen.rows, Scope::kGlobal)[0];
    std::vector<double> gold, scores(sums.begin(), sums.begin() + n - 1);
    for (int64_t j = 0; j < n; ++j) gold.push_back(row[j].item<float>());
    scores.push_back(INFINITY);
    for (int b = 0; b < 3; ++b) {
      const int64_t k = config.budgets[b].Positions(n, p);
      const ReferenceRecall want = RecallSlowly({gold}, {scores}, k);
      EXPECT_EQ(record.recalls[b].k, k);
      EXPECT_NEAR(record.recalls[b].recall, want.recall, 1e-12) << t;
      EXPECT_NEAR(record.recalls[b].mass, want.mass, 1e-7);
      EXPECT_NEAR(record.recalls[b].mass_ratio, want.mass_ratio, 1e-6);
      EXPECT_EQ(record.recalls[6 + b].recall, 1) << "oracle";
      EXPECT_EQ(record.recalls[6 + b].mass_ratio, 1) << "oracle";
    }
    EXPECT_EQ(record.recalls[2].recall, 1) << "everything is held";
    EXPECT_EQ(record.recalls[3].layer_recalls.size(), 2u) << "a value a layer";
    for (int64_t j = 0; j < n; ++j) sums[j] += gold[j];
  }
}

// Step 1's query is the last prompt token: were its row in the scores, h2o
// would find the position that this row alone attends to.
TEST(SampleTelemetryTest, StepOneDoesNotUseTheLastPromptRow) {
  const RunConfig config = Config("h2o", "tokens:2");
  auto telemetry = SampleTelemetry::Create(config, {1, 5, 1}, {});
  PrefillObservation prefill;
  prefill.sums = at::tensor({3.0f, 0.5f, 0.4f, 0.1f}).view({1, 1, 4});
  prefill.last_row = at::zeros({1, 1, 4});
  auto model = MakeScriptedModel({});
  (*telemetry)->Begin(prefill, **model->NewSequence(5));
  // The gold set of size 2 is {2, 3}; S_1 prefers position 0.
  at::Tensor row = at::tensor({0.1f, 0.0f, 0.2f, 0.6f, 0.1f}).view({1, 1, 5});
  const StepRecord record =
      (*telemetry)->Observe(row, *DescribeLogits(at::zeros({4})), 0, 0);
  EXPECT_EQ(record.recalls[0].recall, 0);
}

// Keys of a text that is not worth computing.
class BlankSequence : public Sequence {
 public:
  BlankSequence(int64_t layers, int64_t groups, int64_t positions)
      : keys_(at::ones({layers, groups, positions, 1})) {}
  void set_length(int64_t length) { length_ = length; }
  int64_t length() const override { return length_; }
  int64_t capacity() const override { return keys_.size(2); }
  at::Tensor Keys(int64_t first, int64_t count) const override {
    return keys_.narrow(2, first, count);
  }
  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override {
    return (Keys(0, positions) * directions.unsqueeze(2)).sum(-1);
  }

 private:
  const at::Tensor keys_;
  int64_t length_ = 0;
};

int64_t StatusBytes(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;)
    if (word == field) {
      int64_t kilobytes = 0;
      in >> kilobytes;
      return kilobytes * 1024;
    }
  return 0;
}

// Bytes that telemetry promises, and the resident ones that it adds at most.
struct Memory {
  int64_t promised = 0, peak = 0;
};

Memory MemoryOf(const RunConfig& config) {
  constexpr int64_t kLayers = 2, kGroups = 2, kPrompt = 1 << 16, kSteps = 4;
  BlankSequence sequence(kLayers, kGroups, kPrompt + kSteps);
  const at::Tensor row =
      at::softmax(at::randn({kLayers, kGroups, kPrompt + kSteps}), -1);
  const at::Tensor known = row.narrow(2, 0, kPrompt - 1).contiguous();
  malloc_trim(0);  // else what the run before it freed is taken again unseen
  const int64_t before = StatusBytes("VmRSS:");
  std::ofstream("/proc/self/clear_refs") << "5";
  auto telemetry =
      SampleTelemetry::Create(config, {kLayers, kPrompt, kSteps}, {});
  EXPECT_TRUE(telemetry.ok()) << telemetry.status();
  PrefillObservation prefill;
  prefill.sums = prefill.last_row = known;
  for (size_t i = 0; i < (*telemetry)->windows().size(); ++i)
    prefill.window_sums.push_back(known.clone());
  sequence.set_length(kPrompt - 1);
  (*telemetry)->Begin(prefill, sequence);
  for (int64_t t = 1; t <= kSteps; ++t) {
    sequence.set_length(kPrompt - 1 + t);
    (*telemetry)
        ->Observe(row.narrow(2, 0, kPrompt - 1 + t).contiguous(), {}, 0, 0);
  }
  return {(*telemetry)->MostBytes(kGroups), StatusBytes("VmHWM:") - before};
}

// Many of one policy are what an estimate that looks at the model alone would
// miss.
TEST(SampleTelemetryTest, HoldsNoMoreMemoryThanItPromises) {
  std::ofstream reset("/proc/self/clear_refs");
  if (!(reset << "5") || !reset.flush())
    GTEST_SKIP() << "this system does not reset VmHWM";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "what is freed stays";
#endif
  constexpr int64_t kNoise = int64_t{8} << 20;
  std::string seeds = "random", windows = "snapkv", evicting = "tova";
  for (int i = 1; i < 20; ++i) {
    absl::StrAppend(&seeds, ",random(seed=", i, ")");
    absl::StrAppend(&windows, ",snapkv(w=", i, ")");
    absl::StrAppend(&evicting, ",tova@periodic(", i, ")");
  }
  MemoryOf(Config("h2o", "0.1"));  // the selector's buffers are there
  for (const std::string& policies :
       {seeds, windows, evicting,
        std::string("h2o,h2o(self=0),h2o_window,h2o_mean,h2o_evict,streaming,"
                    "snapkv,tova,pyramidkv,knorm,keydiff,random,oracle")}) {
    RunConfig config = Config(policies.c_str(), "0.1,0.2,0.3");
    config.scopes = {Scope::kGlobal, Scope::kLayer, Scope::kHead};
    const Memory memory = MemoryOf(config);
    std::printf("[ figures  ] promised %.1f, peak %.1f MiB\n",
                static_cast<double>(memory.promised) / (1 << 20),
                static_cast<double>(memory.peak) / (1 << 20));
    EXPECT_LE(memory.peak, memory.promised + kNoise) << policies;
    EXPECT_LE(memory.promised, 3 * memory.peak + kNoise) << policies;
  }
}

// What the context of a model is bounded by counts telemetry so.
TEST(SampleTelemetryTest, EveryPolicyOnceInScopeHeadIsWithinTheUsualEstimate) {
  ModelInfo info;
  info.layers = 3;
  info.kv_heads = 2;
  info.prefill_chunk = 1;
  RunConfig config;
  config.policies = *ParsePolicyList("all");
  config.scopes = {Scope::kHead};
  config.budgets = *ParseBudgets("0.1");
  const auto telemetry =
      SampleTelemetry::Create(config, {info.layers, 900, 100}, {});
  ASSERT_TRUE(telemetry.ok()) << telemetry.status();
  EXPECT_LE((*telemetry)->MostBytes(info.kv_heads),
            NeedOf(info, /*intermediate_size=*/0, 1000).statistics);
}

// "h2o" and "h2o(self=1)" are one policy, so its lane sees the sets of that.
TEST(SampleTelemetryTest, AGapLaneFindsItsPolicyHoweverItIsSpelled) {
  RunConfig config = Config("h2o", "0.4");
  config.policies[0] = {"h2o", {}};
  config.gaps = *ParseGapSpecs("only_pred(h2o(self=1),0.4)");
  auto telemetry = SampleTelemetry::Create(config, {1, 5, 1}, {});
  ASSERT_TRUE(telemetry.ok()) << telemetry.status();
  PrefillObservation prefill;
  prefill.sums = at::tensor({3.0f, 0.5f, 0.4f, 0.1f}).view({1, 1, 4});
  prefill.last_row = at::zeros({1, 1, 4});
  BlankSequence sequence(1, 1, 6);
  sequence.set_length(4);
  (*telemetry)->Begin(prefill, sequence);
  (*telemetry)->Observe(at::full({1, 1, 5}, 0.2f), {}, 0, 0);
  const std::vector<at::Tensor> masks = (*telemetry)->GapMasks();
  ASSERT_EQ(masks.size(), 1u);
  EXPECT_TRUE(
      at::equal(masks[0], at::tensor({1, 0, 0, 0}, at::kByte).view({1, 4})));
}

}  // namespace
}  // namespace kvrecall
