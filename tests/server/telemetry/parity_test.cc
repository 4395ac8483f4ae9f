// Token-by-token parity with Hugging Face transformers and plain NumPy, in
// float32: tests/golden/parity_golden.py makes the expected values.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
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
  int near_tied_steps = 0;  // differ, and only where the cut is near-tied
  double worst_logit = 0;   // |Δlogit| / max |logit|
  double worst_entropy = 0;
  double worst_sum = 0;  // relative
};

// True if all recalls of the step are equal; a difference at a cut that is not
// near-tied is a failure.
bool CompareRecalls(const StepRecord& got, const Json& want) {
  bool equal = true;
  for (size_t i = 0; i < got.recalls.size(); ++i) {
    const RecallRecord& a = got.recalls[i];
    const Json& b = want["recalls"][i];
    EXPECT_EQ(a.k, b["k"].get<int64_t>());
    EXPECT_NEAR(a.mass, b["mass"].get<double>(), 1e-4);
    const bool same =
        std::abs(a.recall - b["recall"].get<double>()) < 1e-12 &&
        std::abs(a.chance - b["chance"].get<double>()) < 1e-12 &&
        std::abs(a.mass_ratio - b["mass_ratio"].get<double>()) < 1e-4;
    if (same) continue;
    equal = false;
    EXPECT_TRUE(b["near"].get<bool>())
        << "step " << got.step << " lane " << i << ": recall " << a.recall
        << " instead of " << b["recall"];
  }
  return equal;
}

void CompareStep(const StepObservation& seen, const StepRecord& record,
                 const Json& golden_case, size_t index, Tally& tally) {
  const Json& want = golden_case["steps"][index];
  const Json& logits = golden_case["logits"][index];
  const int64_t stride = golden_case["logit_stride"];
  const double max_logit = golden_case["max_logit"];
  const float* got = seen.logits.data_ptr<float>();
  for (size_t i = 0; i < logits.size(); ++i)
    tally.worst_logit = std::max(
        tally.worst_logit, std::abs(got[static_cast<int64_t>(i) * stride] -
                                    logits[i].get<double>()) /
                               max_logit);
  tally.worst_entropy =
      std::max(tally.worst_entropy,
               std::abs(record.entropy - want["entropy"].get<double>()));
  EXPECT_EQ(record.n, want["n"].get<int64_t>());
  EXPECT_NEAR(record.logprob, want["logprob"].get<double>(), 1e-4);
  EXPECT_NEAR(record.p_max, want["p_max"].get<double>(), 1e-5);
  EXPECT_NEAR(record.margin, want["margin"].get<double>(), 1e-5);
  EXPECT_NEAR(record.attention_entropy, want["attention_entropy"].get<double>(),
              1e-5);
  EXPECT_NEAR(record.attention_entropy_std,
              want["attention_entropy_std"].get<double>(), 1e-5);
  ++tally.steps;
  if (!CompareRecalls(record, want)) ++tally.near_tied_steps;
}

void CompareSums(const at::Tensor& sums, const Json& want, Tally& tally) {
  const at::Tensor flat = sums.contiguous();
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
    token = GreedyToken(seen.logits);
    ASSERT_EQ(token, tokens[i]) << "step " << i + 1;
    const StepRecord record = (*telemetry)
                                  ->Observe(seen.rows, *distribution, token,
                                            seen.logits[token].item<float>() -
                                                distribution->log_normalizer);
    CompareStep(seen, record, golden_case, i, tally);
  }
}

void CompareGolden(const std::string& model_directory,
                   const std::string& golden_path, int64_t chunk) {
  const Json golden = ReadGolden(golden_path);
  HfModelOptions options;
  options.dtype = "float32";
  options.device = "cpu";
  options.prefill_chunk = chunk;
  auto model = LoadHfModel(model_directory, options);
  ASSERT_TRUE(model.ok()) << model.status();
  const uint64_t key =
      std::stoull(golden["sample_key"].get<std::string>(), nullptr, 16);
  Tally tally;
  for (const Json& golden_case : golden["cases"])
    CompareCase(**model, ConfigOf(golden), key, golden_case, tally);
  std::printf(
      "[ figures  ] %d steps, %d with a near-tied cut that fell otherwise; "
      "worst |dlogit|/max|logit| %.2g, |dentropy| %.2g, column sum %.2g\n",
      tally.steps, tally.near_tied_steps, tally.worst_logit,
      tally.worst_entropy, tally.worst_sum);
  EXPECT_GT(tally.steps, 0);
  EXPECT_LE(tally.worst_logit, 1e-4);
  EXPECT_LE(tally.worst_entropy, 1e-5);
  EXPECT_LE(tally.worst_sum, 1e-4);
  EXPECT_LE(tally.near_tied_steps, tally.steps / 100 + (tally.steps < 100));
}

TEST(ParityTest, EmbeddedModelEqualsTransformers) {
  CompareGolden("deploy/models/nano", "tests/golden/parity_nano.json.gz", 256);
}

TEST(ParityTest, RandomGqaCheckpointEqualsTransformers) {
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(CheckpointShape(), directory);
  for (int64_t chunk : {256, 50})
    CompareGolden(directory, "tests/golden/parity_random.json.gz", chunk);
  std::filesystem::remove_all(directory);
}

// The checkpoint is written from the configuration in the golden file.
class ArchitectureParityTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ArchitectureParityTest, EqualsTransformers) {
  const std::string path =
      absl::StrCat("tests/golden/parity_", GetParam(), ".json.gz");
  const Json golden = ReadGolden(path);
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(golden["config"], golden["storage"], directory);
  for (int64_t chunk : {256, 50}) CompareGolden(directory, path, chunk);
  std::filesystem::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(Each, ArchitectureParityTest,
                         ::testing::Values("llama", "qwen3", "mistral"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace kvrecall
