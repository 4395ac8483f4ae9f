// Prefill and decode with and without telemetry, in turn in one run, against
// what the machine can do at best. Prints a table; --json keeps all figures.

#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "c10/core/InferenceMode.h"
#include "nlohmann/json.hpp"

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "common/record/run_config.h"
#include "server/engine/compat.h"
#include "server/engine/hf_config.h"
#include "server/engine/hf_model.h"
#include "server/engine/model_locator.h"
#include "server/engine/sampler.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/gap.h"
#include "server/telemetry/telemetry.h"
#include "tests/bench/forced_run.h"
#ifdef KVRECALL_WITH_CUDA
#include "tests/bench/kernel_profile.h"
#endif
#include "tests/bench/memory.h"
#include "tests/bench/result.h"
#include "tests/bench/roofline.h"
#include "tests/bench/shapes.h"
#include "tests/bench/timing.h"

namespace kvrecall::bench {
namespace {

struct Options {
  std::string model, shape, json;
  std::string only;             // "plain", "telemetry", or both
  std::string tokens, records;  // of a forced run, which times nothing
  std::string profile;          // directory for profiles of a GPU's kernels
  HfModelOptions engine;
  std::vector<int64_t> prompts = {4096};
  int64_t decode = 64;
  int repeat = 5;
  std::string policies = "h2o,random,oracle";
  std::string scopes = "global,layer";
  std::string budgets = "0.1,0.2,0.3";
  std::string gap;  // lanes; "default": those of DefaultGaps
};

class Bench {
 public:
  Bench(Model& model, HfConfig config, RunConfig run, const Options& options)
      : model_(model),
        config_(std::move(config)),
        run_(std::move(run)),
        options_(options),
        device_(model.info().device == "cpu" ? at::Device(at::kCPU)
                                             : at::Device(at::kCUDA, 0)) {
    // Its memory is as much as the weights', so not where nobody asks.
    if (Wanted(false) && options_.decode > 0)
      bandwidth_.emplace(device_, model.info(), config_.intermediate_size);
  }

  absl::StatusOr<Result> Measure(int64_t prompt) {
    Result result;
    result.prompt = prompt;
    result.kv_bytes = prompt * model_.info().kv_bytes_per_token;
    result.step_bytes = StepBytes(prompt);
    if (loaded_memory_ == 0) RETURN_IF_ERROR(TouchWeights());
    tokens_.clear();
    for (int64_t i = 0; i < prompt; ++i)
      tokens_.push_back((i * 7919 + 13) % model_.info().vocabulary);
    // Once unmeasured: kernels are compiled, memory is mapped.
    RETURN_IF_ERROR(Prefill(!Wanted(false), nullptr));
    result.loaded_memory = loaded_memory_;
    result.base_memory = CurrentMemory(device_);
    ResetPeakMemory(device_);
    for (int r = 0; r < options_.repeat; ++r) {
      // Each first in turn, so that neither gets the warmer machine.
      for (const bool telemetry : {r % 2 == 0, r % 2 != 0}) {
        if (!Wanted(telemetry)) continue;
        std::vector<double>& times =
            telemetry ? result.prefill_telemetry : result.prefill_plain;
        RETURN_IF_ERROR(Prefill(telemetry, &times));
      }
    }
    for (int r = 0; r < options_.repeat && options_.decode > 0; ++r)
      RETURN_IF_ERROR(Decode(result));
    result.peak_memory = PeakMemory(device_);
    result.products = ProductRates(
        model_.info(), config_.intermediate_size, prompt,
        at::TensorOptions()
            .dtype(model_.info().dtype == "float32" ? at::kFloat
                                                    : at::kBFloat16)
            .device(device_));
    RETURN_IF_ERROR(Profile(prompt));
    return result;
  }

 private:
  bool Wanted(bool telemetry) const {
    return options_.only.empty() ||
           options_.only == (telemetry ? "telemetry" : "plain");
  }

  // Weights that lie in a mapped file become resident as they are used: a text
  // of two tokens uses them all.
  absl::Status TouchWeights() {
    ASSIGN_OR_RETURN(std::unique_ptr<Sequence> text, model_.NewSequence(2));
    const std::vector<int64_t> first = {0};
    PrefillOptions options;
    options.statistics = false;
    RETURN_IF_ERROR(model_.Prefill(*text, first, options).status());
    const StepInput input{text.get(), 0, /*rows=*/false};
    RETURN_IF_ERROR(model_.Step({&input, 1}).status());
    loaded_memory_ = CurrentMemory(device_);
    return absl::OkStatus();
  }

  double StepBytes(int64_t positions) const {
    const ModelInfo& info = model_.info();
    double bytes = static_cast<double>(info.weight_bytes +
                                       positions * info.kv_bytes_per_token);
    // Of an embedding apart from the head a step reads one row.
    if (!config_.tied_head)
      bytes -= static_cast<double>(info.vocabulary * info.hidden_size *
                                   (info.dtype == "float32" ? 4 : 2));
    return bytes;
  }

  absl::Status Prefill(bool telemetry, std::vector<double>* times) {
    std::unique_ptr<Sequence>& sequence = telemetry ? with_telemetry_ : plain_;
    sequence.reset();
    absl::Status status;
    const double seconds =
        Seconds(device_, [&] { status = FillSequence(telemetry, sequence); });
    if (times != nullptr) times->push_back(seconds);
    return status;
  }

  absl::Status FillSequence(bool telemetry,
                            std::unique_ptr<Sequence>& sequence) {
    const int64_t prompt = static_cast<int64_t>(tokens_.size());
    const int64_t steps = options_.decode * options_.repeat;
    ASSIGN_OR_RETURN(sequence, model_.NewSequence(prompt + steps));
    PrefillOptions options;
    options.statistics = telemetry;
    if (telemetry) {
      is_queued_ = false;
      seen_.reset();
      ASSIGN_OR_RETURN(telemetry_,
                       SampleTelemetry::Create(
                           run_, {model_.info().layers, prompt, steps}, {0}));
      options.windows = telemetry_->windows();
    }
    // All but the last, which is the first decode step.
    ASSIGN_OR_RETURN(
        const PrefillObservation seen,
        model_.Prefill(*sequence, std::span(tokens_).first(tokens_.size() - 1),
                       options));
    if (telemetry) telemetry_->Begin(seen, *sequence);
    return absl::OkStatus();
  }

  // Steps of both sequences in turn: noise hits both alike.
  absl::Status Decode(Result& result) {
    std::vector<double> plain, with;
    int64_t token = tokens_.back();
    open_.reset();
    for (int64_t t = 0; t < options_.decode; ++t) {
      absl::StatusOr<int64_t> next;
      if (Wanted(true)) {
        with.push_back(Seconds(device_, [&] { next = TelemetryStep(token); }));
        RETURN_IF_ERROR(next.status());
      }
      if (Wanted(false)) {
        plain.push_back(Seconds(device_, [&] { next = PlainStep(token); }));
        RETURN_IF_ERROR(next.status());
      }
      token = *next;
    }
    if (Wanted(false)) result.step_plain.push_back(Median(plain));
    if (Wanted(true)) result.step_telemetry.push_back(Median(with));
    for (int i = 0; bandwidth_ && i < 3; ++i)
      result.bandwidth.push_back(bandwidth_->Measure());
    return absl::OkStatus();
  }

  // Once more, after all that is timed: a prefill and, where steps are asked
  // for, eight of them, with telemetry and without.
  absl::Status Profile([[maybe_unused]] int64_t prompt) {
#ifdef KVRECALL_WITH_CUDA
    if (options_.profile.empty()) return absl::OkStatus();
    for (const bool telemetry : {false, true}) {
      if (!Wanted(telemetry)) continue;
      const std::string name =
          absl::StrCat(options_.profile, "/", telemetry ? "telemetry" : "plain",
                       "-", prompt, "-");
      SynchronizeDevice(device_);
      BeginKernelProfile();
      absl::Status status = Prefill(telemetry, nullptr);
      RETURN_IF_ERROR(EndKernelProfile(name + "prefill.json"));
      RETURN_IF_ERROR(status);
      if (options_.decode < kProfiledSteps + 1) continue;
      open_.reset();
      const auto step = [&]() -> absl::Status {
        return (telemetry ? TelemetryStep(tokens_.back())
                          : PlainStep(tokens_.back()))
            .status();
      };
      RETURN_IF_ERROR(step());
      SynchronizeDevice(device_);
      BeginKernelProfile();
      for (int i = 0; i < kProfiledSteps && status.ok(); ++i) status = step();
      SynchronizeDevice(device_);
      RETURN_IF_ERROR(EndKernelProfile(name + "steps.json"));
      RETURN_IF_ERROR(status);
    }
#endif
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> PlainStep(int64_t token) {
    const StepInput input{plain_.get(), token, /*rows=*/false};
    ASSIGN_OR_RETURN(const std::vector<StepObservation> seen,
                     model_.Step({&input, 1}));
    return GreedyToken(seen[0].logits);
  }

  absl::StatusOr<int64_t> TelemetryStep(int64_t token) {
    StepInput input{with_telemetry_.get(), token};
    if (open_) input.lanes = {open_->fed, open_->masks};
    ASSIGN_OR_RETURN(const std::vector<StepObservation> seen,
                     model_.Step({&input, 1}));
    // As the runner does it: a GPU makes a step's figures behind the next step.
    if (is_queued_) record_ = telemetry_->Take();
    is_queued_ = seen_.has_value();
    if (seen_)
      telemetry_->Queue(seen_->rows, seen_->distribution, seen_->chosen,
                        seen_->logprob);
    seen_.reset();
    if (open_) {
      ASSIGN_OR_RETURN(record_.gaps,
                       CompareGaps(open_->logits, open_->distribution,
                                   seen[0].lanes, open_->distribution.best));
    }
    ASSIGN_OR_RETURN(const TokenDistribution distribution,
                     DescribeLogits(seen[0].logits));
    const int64_t next = distribution.best;
    const double logprob = LogProbability(seen[0].logits, distribution, next);
    if (!device_.is_cpu() && run_.gaps.empty()) {
      seen_ = {seen[0].rows, distribution, next, logprob};
      return next;
    }
    telemetry_->Queue(seen[0].rows, distribution, next, logprob);
    is_queued_ = !device_.is_cpu();
    if (!is_queued_) record_ = telemetry_->Take();
    if (!run_.gaps.empty())
      open_ = {token, seen[0].logits, distribution, telemetry_->GapMasks()};
    return next;
  }

  [[maybe_unused]] static constexpr int kProfiledSteps = 8;

  Model& model_;
  const HfConfig config_;
  const RunConfig run_;
  const Options& options_;
  const at::Device device_;
  std::optional<ReadBandwidth> bandwidth_;
  int64_t loaded_memory_ = 0;
  std::vector<int64_t> tokens_;
  std::unique_ptr<Sequence> plain_, with_telemetry_;
  std::unique_ptr<SampleTelemetry> telemetry_;
  StepRecord record_;
  // The step before, where telemetry does not know of it yet.
  struct SeenStep {
    at::Tensor rows;
    TokenDistribution distribution;
    int64_t chosen = 0;
    double logprob = 0;
  };
  std::optional<SeenStep> seen_;
  bool is_queued_ = false;  // a step is, and has not been taken
  // As the runner does it, a step's gap lanes are computed beside the next.
  struct OpenStep {
    int64_t fed = 0;
    at::Tensor logits;
    TokenDistribution distribution;
    std::vector<at::Tensor> masks;
  };
  std::optional<OpenStep> open_;
};

absl::StatusOr<RunConfig> ReadRunConfig(const Options& options) {
  RunConfig run;
  ASSIGN_OR_RETURN(run.policies, ParsePolicyList(options.policies));
  ASSIGN_OR_RETURN(run.scopes, ParseScopes(options.scopes));
  ASSIGN_OR_RETURN(run.budgets, ParseBudgets(options.budgets));
  if (options.gap == "default") {
    run.gaps = DefaultGaps(run);
  } else if (!options.gap.empty()) {
    ASSIGN_OR_RETURN(run.gaps, ParseGapSpecs(options.gap));
  }
  ASSIGN_OR_RETURN(run.gaps, CompleteGaps(run));
  return run;
}

absl::Status RunBench(Options options) {
  ASSIGN_OR_RETURN(RunConfig run, ReadRunConfig(options));
  HfConfig config;
  std::unique_ptr<Model> model;
  if (options.model.empty()) {
    ASSIGN_OR_RETURN(config, ShapeByName(options.shape));
    options.engine.name = options.shape;
    ASSIGN_OR_RETURN(model, MakeRandomHfModel(config, options.engine));
  } else {
    ASSIGN_OR_RETURN(const LocatedModel located,
                     LocateModel(options.model, ReadHubEnvironment()));
    ASSIGN_OR_RETURN(config, ReadHfConfig(located.directory));
    options.engine.name = located.name;
    ASSIGN_OR_RETURN(model, LoadHfModel(located.directory, options.engine));
  }
  const ModelInfo& info = model->info();
  const std::string setting = absl::StrCat(
      info.name, ", ", info.dtype, ", ", info.device, ", ", info.threads,
      " threads, chunks of ", info.prefill_chunk, ", libtorch ", info.libtorch,
      "; policies ", options.policies, ", scopes ", options.scopes,
      ", budgets ", options.budgets, ", ", run.gaps.size(),
      " gap lanes; medians of ", options.repeat);
  std::printf("%s\n", setting.c_str());
  nlohmann::json report = {{"setting", setting},
                           {"results", nlohmann::json::array()}};
  const c10::InferenceMode guard;
  if (!options.tokens.empty())
    return ForcedRun(*model, run, options.tokens, options.records);
  Bench bench(*model, config, std::move(run), options);
  for (const int64_t prompt : options.prompts) {
    ASSIGN_OR_RETURN(const Result result, bench.Measure(prompt));
    Print(result);
    report["results"].push_back(ToJson(result));
  }
  // Of the last prompt, the longest as a rule.
  report["ratios"] = report["results"].back()["ratios"];
  if (!options.json.empty()) {
    std::ofstream out(options.json);
    out << report.dump(2) << "\n";
    if (!out.flush())
      return absl::UnavailableError(
          absl::StrCat("cannot write ", options.json));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace kvrecall::bench

int main(int argc, char** argv) {
  using kvrecall::bench::Options;
  Options options;
  CLI::App app("Times prefill and decode with and without telemetry, in turn.");
  auto* source = app.add_option_group("model");
  source->add_option(
      "--shape", options.shape,
      absl::StrCat("random weights in the shape of ",
                   absl::StrJoin(kvrecall::bench::ShapeNames(), ", ")));
  source->add_option("--model", options.model, "a checkpoint's directory");
  source->require_option(1);
  app.add_option("--dtype", options.engine.dtype, "auto, float32 or bfloat16")
      ->capture_default_str();
  app.add_option("--device", options.engine.device, "auto, cpu or cuda")
      ->capture_default_str();
  app.add_option("--threads", options.engine.threads,
                 "compute threads; 0: all that may be used");
  app.add_option("--prefill-chunk", options.engine.prefill_chunk,
                 "queries per prefill chunk; 0: as suits the device")
      ->capture_default_str();
  app.add_option("--prompt", options.prompts, "tokens; may be given often")
      ->check(CLI::Range(2, 1 << 20))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--decode", options.decode, "steps of each repetition")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--repeat", options.repeat, "repetitions")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--policies", options.policies)->capture_default_str();
  app.add_option("--scopes", options.scopes)->capture_default_str();
  app.add_option("--budgets", options.budgets)->capture_default_str();
  app.add_option("--gap", options.gap,
                 "lanes of the entropy gap; without a list, those that "
                 "`submit --gap` means")
      ->expected(0, 1)
      ->default_str("default");
  app.add_option("--only", options.only,
                 "leave out the other: its memory and its caches")
      ->check(CLI::IsMember({"plain", "telemetry"}));
  app.add_option("--json", options.json, "file for all figures");
#ifdef KVRECALL_WITH_CUDA
  app.add_option("--profile", options.profile,
                 "directory for profiles of the GPU's kernels, which "
                 "kernel_times.py reads")
      ->check(CLI::ExistingDirectory);
#endif
  CLI::Option* tokens = app.add_option(
      "--tokens", options.tokens,
      "time nothing; run {\"prompt\": [ids], \"forced\": [ids]} of this file");
  CLI::Option* records =
      app.add_option("--records", options.records,
                     "file for the forced run's records, one JSON line a step");
  tokens->needs(records);
  records->needs(tokens);
  CLI11_PARSE(app, argc, argv);
  if (const absl::Status status = kvrecall::bench::RunBench(options);
      !status.ok()) {
    std::cerr << "kvrecall-bench: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
