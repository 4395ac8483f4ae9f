#include "tests/reference/parity.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "server/engine/hf_model.h"
#include "server/engine/sampler.h"
#include "server/telemetry/telemetry.h"
#include "tests/reference/golden.h"

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

void Raise(double& worst, double got, const Json& want) {
  worst = std::max(worst, std::abs(got - want.get<double>()));
}

void CompareRecalls(const StepRecord& got, const Json& want,
                    ParityTally& tally) {
  bool equal = true;
  for (size_t i = 0; i < got.recalls.size(); ++i) {
    const RecallRecord& a = got.recalls[i];
    const Json& b = want[i];
    const double error = std::abs(a.recall - b["recall"].get<double>());
    tally.other_counts += a.k != b["k"].get<int64_t>();
    tally.recall_error += error;
    ++tally.recalls;
    Raise(tally.mass, a.mass, b["mass"]);
    const bool same =
        error < 1e-12 &&
        std::abs(a.chance - b["chance"].get<double>()) < 1e-12 &&
        std::abs(a.mass_ratio - b["mass_ratio"].get<double>()) < 1e-4;
    if (same) continue;
    equal = false;
    if (b["near"].get<bool>()) continue;
    if (++tally.unexplained <= 3)
      std::printf("step %d, lane %zu: recall %.9g instead of %.9g\n",
                  static_cast<int>(got.step), i, a.recall,
                  b["recall"].get<double>());
  }
  tally.differing_steps += !equal;
}

void CompareStep(const StepObservation& seen, const StepRecord& record,
                 const Json& golden_case, size_t index, ParityTally& tally) {
  const Json& want = golden_case["steps"][index];
  const Json& logits = golden_case["logits"][index];
  const int64_t stride = golden_case["logit_stride"];
  const double max_logit = golden_case["max_logit"];
  const at::Tensor host = seen.logits.cpu();
  for (size_t i = 0; i < logits.size(); ++i)
    tally.logit = std::max(
        tally.logit,
        std::abs(host.data_ptr<float>()[static_cast<int64_t>(i) * stride] -
                 logits[i].get<double>()) /
            max_logit);
  tally.other_counts += record.n != want["n"].get<int64_t>();
  Raise(tally.entropy, record.entropy, want["entropy"]);
  Raise(tally.logprob, record.logprob, want["logprob"]);
  Raise(tally.p_max, record.p_max, want["p_max"]);
  Raise(tally.margin, record.margin, want["margin"]);
  Raise(tally.attention_entropy, record.attention_entropy,
        want["attention_entropy"]);
  Raise(tally.attention_entropy, record.attention_entropy_std,
        want["attention_entropy_std"]);
  CompareRecalls(record, want["recalls"], tally);
  ++tally.steps;
}

void CompareSums(const at::Tensor& sums, const Json& want, ParityTally& tally) {
  const at::Tensor flat = sums.cpu().contiguous();
  const float* got = flat.data_ptr<float>();
  for (const Json& layer : want)
    for (const Json& group : layer)
      for (const double expected : group)
        tally.sum = std::max(tally.sum, std::abs(*got++ - expected) / expected);
}

absl::Status CompareCase(Model& model, const RunConfig& config,
                         uint64_t sample_key, const Json& golden_case,
                         ParityTally& tally) {
  const std::vector<int64_t> prompt = golden_case["prompt"];
  const std::vector<int64_t> tokens = golden_case["tokens"];
  const int64_t p = static_cast<int64_t>(prompt.size());
  const int64_t t = static_cast<int64_t>(tokens.size());
  ASSIGN_OR_RETURN(const std::unique_ptr<Sequence> sequence,
                   model.NewSequence(p + t));
  ASSIGN_OR_RETURN(
      const PrefillObservation prefill,
      model.Prefill(*sequence, std::span(prompt).first(prompt.size() - 1), {}));
  CompareSums(prefill.sums, golden_case["prefill_sums"], tally);
  ASSIGN_OR_RETURN(const std::unique_ptr<SampleTelemetry> telemetry,
                   SampleTelemetry::Create(config, {model.info().layers, p, t},
                                           {sample_key}));
  telemetry->Begin(prefill, *sequence);
  int64_t token = prompt.back();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const StepInput input{sequence.get(), token};
    ASSIGN_OR_RETURN(const std::vector<StepObservation> steps,
                     model.Step({&input, 1}));
    const StepObservation& seen = steps[0];
    ASSIGN_OR_RETURN(const TokenDistribution distribution,
                     DescribeLogits(seen.logits));
    tally.other_tokens += GreedyToken(seen.logits) != tokens[i];
    token = tokens[i];
    const StepRecord record =
        telemetry->Observe(seen.rows, distribution, token,
                           LogProbability(seen.logits, distribution, token));
    CompareStep(seen, record, golden_case, i, tally);
  }
  return absl::OkStatus();
}

void Print(const ParityRun& run, const ParityTally& tally) {
  std::printf(
      "[ figures  ] %s, %s, chunk %d: %d steps, %d with other recalls (%d "
      "lanes not near-tied), %d other tokens; worst |dlogit|/max|logit| %.2g, "
      "|dentropy| %.2g, column sum %.2g; mean |drecall| %.2g\n",
      run.device.c_str(), run.dtype.c_str(), static_cast<int>(run.chunk),
      tally.steps, tally.differing_steps, tally.unexplained, tally.other_tokens,
      tally.logit, tally.entropy, tally.sum,
      tally.recall_error / std::max(tally.recalls, 1));
}

}  // namespace

absl::StatusOr<ParityTally> CompareWithGolden(const ParityRun& run) {
  const Json golden = ReadGolden(run.golden);
  HfModelOptions options;
  options.dtype = run.dtype;
  options.device = run.device;
  options.prefill_chunk = run.chunk;
  ASSIGN_OR_RETURN(const std::unique_ptr<Model> model,
                   LoadHfModel(run.model, options));
  const uint64_t key =
      std::stoull(golden["sample_key"].get<std::string>(), nullptr, 16);
  ParityTally tally;
  for (const Json& golden_case : golden["cases"])
    RETURN_IF_ERROR(
        CompareCase(*model, ConfigOf(golden), key, golden_case, tally));
  Print(run, tally);
  return tally;
}

void ExpectFloat32Parity(const ParityTally& tally, NearTies near_ties) {
  EXPECT_GT(tally.steps, 0);
  EXPECT_EQ(tally.other_tokens, 0);
  EXPECT_EQ(tally.other_counts, 0);
  EXPECT_EQ(tally.unexplained, 0);
  if (near_ties == NearTies::kAsGolden) {
    EXPECT_LE(tally.differing_steps, tally.steps / 100 + (tally.steps < 100));
  }
  EXPECT_LE(tally.recall_error / std::max(tally.recalls, 1), 1e-3);
  EXPECT_LE(tally.logit, 1e-4);
  EXPECT_LE(tally.sum, 1e-4);
  EXPECT_LE(tally.entropy, 1e-5);
  EXPECT_LE(tally.attention_entropy, 1e-5);
  EXPECT_LE(tally.logprob, 1e-4);
  EXPECT_LE(tally.p_max, 1e-5);
  EXPECT_LE(tally.margin, 1e-5);
  EXPECT_LE(tally.mass, 1e-4);
}

}  // namespace kvrecall
