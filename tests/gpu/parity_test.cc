// Token-by-token parity of the model on a GPU with Hugging Face transformers,
// whose values in float32 tests/golden/parity_golden.py keeps. In bfloat16 the
// text is forced, and the bounds are those of eight bits.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "ATen/ATen.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/record/policy_catalog.h"
#include "server/engine/hf_model.h"
#include "server/engine/sampler.h"
#include "server/telemetry/telemetry.h"
#include "tests/reference/golden.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

constexpr char kDevice[] = "cuda";

RunConfig ConfigOf(const Json& golden) {
  RunConfig config;
  for (const std::string name : golden["policies"])
    config.policies.push_back(*CompletePolicySpec(*ParsePolicySpec(name)));
  for (const std::string name : golden["scopes"])
    config.scopes.push_back(*ParseScope(name));
  for (const double r : golden["budgets"])
    config.budgets.push_back({Budget::Kind::kCurrentRatio, r});
  return config;
}

struct Tally {
  int steps = 0;
  int other_tokens = 0;     // the greedy token is not the golden one
  int differing_steps = 0;  // a recall differs
  int unexplained = 0;      // … though its cut is not near-tied
  int recalls = 0;
  double recall_error = 0;   // Σ |Δrecall|
  double worst_logit = 0;    // |Δlogit| / max |logit|
  double worst_entropy = 0;  // nats
  double worst_sum = 0;      // relative
};

void CompareRecalls(const StepRecord& got, const Json& want, Tally& tally) {
  bool equal = true;
  for (size_t i = 0; i < got.recalls.size(); ++i) {
    const double error = std::abs(got.recalls[i].recall -
                                  want["recalls"][i]["recall"].get<double>());
    tally.recall_error += error;
    ++tally.recalls;
    if (error < 1e-12) continue;
    equal = false;
    tally.unexplained += !want["recalls"][i]["near"].get<bool>();
  }
  tally.differing_steps += !equal;
}

void CompareLogits(const at::Tensor& logits, const Json& golden_case,
                   size_t index, Tally& tally) {
  const Json& want = golden_case["logits"][index];
  const int64_t stride = golden_case["logit_stride"];
  const at::Tensor host = logits.cpu();
  for (size_t i = 0; i < want.size(); ++i)
    tally.worst_logit = std::max(
        tally.worst_logit,
        std::abs(host.data_ptr<float>()[static_cast<int64_t>(i) * stride] -
                 want[i].get<double>()) /
            golden_case["max_logit"].get<double>());
}

void CompareSums(const at::Tensor& sums, const Json& want, Tally& tally) {
  const at::Tensor flat = sums.cpu().contiguous();
  const float* got = flat.data_ptr<float>();
  for (const Json& layer : want)
    for (const Json& group : layer)
      for (const double expected : group)
        tally.worst_sum =
            std::max(tally.worst_sum, std::abs(*got++ - expected) / expected);
}

void CompareCase(Model& model, const RunConfig& config, uint64_t sample_key,
                 const Json& golden_case, Tally& tally) {
  const std::vector<int64_t> prompt = golden_case["prompt"];
  const std::vector<int64_t> tokens = golden_case["tokens"];
  const int64_t p = static_cast<int64_t>(prompt.size());
  const int64_t t = static_cast<int64_t>(tokens.size());
  auto sequence = model.NewSequence(p + t);
  ASSERT_TRUE(sequence.ok()) << sequence.status();
  auto prefill = model.Prefill(**sequence, std::span(prompt).first(p - 1), {});
  ASSERT_TRUE(prefill.ok()) << prefill.status();
  CompareSums(prefill->sums, golden_case["prefill_sums"], tally);
  auto telemetry = SampleTelemetry::Create(config, {model.info().layers, p, t},
                                           {sample_key});
  ASSERT_TRUE(telemetry.ok()) << telemetry.status();
  (*telemetry)->Begin(*prefill, **sequence);
  int64_t token = prompt.back();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const StepInput input{sequence->get(), token};
    auto step = model.Step({&input, 1});
    ASSERT_TRUE(step.ok()) << step.status();
    const StepObservation& seen = (*step)[0];
    auto distribution = DescribeLogits(seen.logits);
    ASSERT_TRUE(distribution.ok()) << distribution.status();
    tally.other_tokens += GreedyToken(seen.logits) != tokens[i];
    token = tokens[i];
    const StepRecord record = (*telemetry)
                                  ->Observe(seen.rows, *distribution, token,
                                            seen.logits[token].item<float>() -
                                                distribution->log_normalizer);
    const Json& want = golden_case["steps"][i];
    EXPECT_EQ(record.n, want["n"].get<int64_t>());
    tally.worst_entropy =
        std::max(tally.worst_entropy,
                 std::abs(record.entropy - want["entropy"].get<double>()));
    CompareLogits(seen.logits, golden_case, i, tally);
    CompareRecalls(record, want, tally);
    ++tally.steps;
  }
}

Tally CompareGolden(const std::string& model_directory,
                    const std::string& golden_path, const std::string& dtype,
                    int64_t chunk) {
  const Json golden = ReadGolden(golden_path);
  HfModelOptions options;
  options.dtype = dtype;
  options.device = kDevice;
  options.prefill_chunk = chunk;
  Tally tally;
  auto model = LoadHfModel(model_directory, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return tally;
  const uint64_t key =
      std::stoull(golden["sample_key"].get<std::string>(), nullptr, 16);
  for (const Json& golden_case : golden["cases"])
    CompareCase(**model, ConfigOf(golden), key, golden_case, tally);
  std::printf(
      "[ figures  ] %s, chunk %d: %d steps, %d with other recalls (%d not "
      "near-tied), %d other tokens; worst |dlogit|/max|logit| %.2g, "
      "|dentropy| %.2g, column sum %.2g; mean |drecall| %.2g\n",
      dtype.c_str(), static_cast<int>(chunk), tally.steps,
      tally.differing_steps, tally.unexplained, tally.other_tokens,
      tally.worst_logit, tally.worst_entropy, tally.worst_sum,
      tally.recall_error / std::max(tally.recalls, 1));
  return tally;
}

// The bounds of the parity test on the CPU.
void ExpectFloat32(const Tally& tally) {
  EXPECT_GT(tally.steps, 0);
  EXPECT_EQ(tally.other_tokens, 0);
  EXPECT_EQ(tally.unexplained, 0);
  EXPECT_LE(tally.worst_logit, 1e-4);
  EXPECT_LE(tally.worst_entropy, 1e-5);
  EXPECT_LE(tally.worst_sum, 1e-4);
  EXPECT_LE(tally.differing_steps, tally.steps / 100 + (tally.steps < 100));
}

// Weights and activations of eight bits: a few percent, token by token.
void ExpectBfloat16(const Tally& tally) {
  EXPECT_GT(tally.steps, 0);
  EXPECT_LE(tally.other_tokens, tally.steps / 10 + 1);
  EXPECT_LE(tally.worst_logit, 0.1);
  EXPECT_LE(tally.recall_error / std::max(tally.recalls, 1), 0.05);
}

TEST(GpuParityTest, EmbeddedModelEqualsTransformers) {
  for (const int64_t chunk : {256, 7}) {
    ExpectFloat32(CompareGolden("deploy/models/nano",
                                "tests/golden/parity_nano.json.gz", "float32",
                                chunk));
    ExpectBfloat16(CompareGolden("deploy/models/nano",
                                 "tests/golden/parity_nano.json.gz", "bfloat16",
                                 chunk));
  }
}

TEST(GpuParityTest, RandomGqaCheckpointEqualsTransformers) {
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(CheckpointShape(), directory);
  for (const int64_t chunk : {256, 50}) {
    ExpectFloat32(CompareGolden(directory, "tests/golden/parity_random.json.gz",
                                "float32", chunk));
    ExpectBfloat16(CompareGolden(
        directory, "tests/golden/parity_random.json.gz", "bfloat16", chunk));
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace kvrecall
