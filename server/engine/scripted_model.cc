#include "server/engine/scripted_model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "server/engine/compat.h"

namespace kvrecall {
namespace {

// A well-mixed 64-bit function of its arguments (Fowler–Noll–Vo folded
// through a multiply-xorshift finaliser); only its determinism matters.
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ b) * 0x100000001b3ULL + 0xcbf29ce484222325ULL;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  return x ^ (x >> 32);
}

// In [0, 1).
double Unit(uint64_t x) { return static_cast<double>(x >> 11) * 0x1p-53; }

class ScriptedSequence final : public Sequence {
 public:
  explicit ScriptedSequence(int64_t capacity) : capacity_(capacity) {}
  int64_t length() const override { return length_; }
  int64_t capacity() const override { return capacity_; }
  void Feed(int64_t token) {
    history_ = Mix(history_, static_cast<uint64_t>(token) + 1);
    ++length_;
  }
  uint64_t history() const { return history_; }

 private:
  const int64_t capacity_;
  int64_t length_ = 0;
  uint64_t history_ = 0;  // digest of the tokens fed
};

class ScriptedModel final : public Model {
 public:
  explicit ScriptedModel(ScriptedModelOptions options)
      : options_(std::move(options)) {
    info_.name = "scripted";
    info_.architecture = "Scripted";
    info_.digest = absl::StrCat("scripted-", options_.seed);
    info_.layers = options_.layers;
    info_.query_heads = options_.kv_heads;
    info_.kv_heads = options_.kv_heads;
    info_.head_dim = 2;
    info_.hidden_size = 2 * options_.kv_heads;
    info_.vocabulary = options_.vocabulary;
    info_.context_window = options_.context_window;
    info_.eos_token_ids = {options_.eos_token};
    info_.dtype = "float32";
    info_.device = "cpu";
    info_.threads = 1;
    info_.libtorch = LibtorchVersion();
    info_.prefill_chunk = options_.prefill_chunk;
  }

  const ModelInfo& info() const override { return info_; }

  absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(
      int64_t capacity) override {
    RETURN_IF_ERROR(CheckCapacity(capacity, info_));
    return std::make_unique<ScriptedSequence>(capacity);
  }

  absl::StatusOr<PrefillObservation> Prefill(
      Sequence& sequence, std::span<const int64_t> tokens,
      const PrefillOptions& options) override {
    auto& text = static_cast<ScriptedSequence&>(sequence);
    const int64_t n = tokens.size();
    if (text.length() != 0 || n > text.capacity())
      return absl::InvalidArgumentError(
          "prefill needs an empty sequence that is long enough");
    RETURN_IF_ERROR(CheckTokens(tokens, info_));
    PrefillObservation observation;
    const std::vector<int64_t> shape = {info_.layers, info_.kv_heads, n};
    if (options.statistics) {
      observation.sums = at::zeros(shape, at::kFloat);
      observation.last_row = at::zeros(shape, at::kFloat);
      for (size_t i = 0; i < options.windows.size(); ++i)
        observation.window_sums.push_back(at::zeros(shape, at::kFloat));
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i % info_.prefill_chunk == 0) {
        if (options.cancelled != nullptr && options.cancelled->load())
          return absl::CancelledError("cancelled during prefill");
        RETURN_IF_ERROR(CallHook(ScriptedPoint::Phase::kPrefill, i));
      }
      text.Feed(tokens[i]);
      if (!options.statistics) continue;
      const at::Tensor rows = Rows(text);
      observation.sums.narrow(2, 0, i + 1).add_(rows);
      for (size_t w = 0; w < options.windows.size(); ++w)
        if (i >= n - (options.windows[w] - 1))
          observation.window_sums[w].narrow(2, 0, i + 1).add_(rows);
      if (i == n - 1) observation.last_row = rows;
    }
    return observation;
  }

  absl::StatusOr<std::vector<StepObservation>> Step(
      std::span<const StepInput> inputs) override {
    std::vector<StepObservation> observations;
    for (const StepInput& input : inputs) {
      auto& text = static_cast<ScriptedSequence&>(*input.sequence);
      if (text.length() >= text.capacity())
        return absl::InvalidArgumentError("a sequence in the step is full");
      RETURN_IF_ERROR(CheckTokens({&input.token, 1}, info_));
      RETURN_IF_ERROR(CallHook(ScriptedPoint::Phase::kStep, text.length()));
      text.Feed(input.token);
      observations.push_back(
          {Logits(text), input.rows ? Rows(text) : at::Tensor()});
    }
    return observations;
  }

 private:
  absl::Status CallHook(ScriptedPoint::Phase phase, int64_t positions) const {
    return options_.hook ? options_.hook({phase, positions}) : absl::OkStatus();
  }

  at::Tensor Logits(const ScriptedSequence& text) const {
    at::Tensor logits = at::empty({info_.vocabulary}, at::kFloat);
    float* out = logits.data_ptr<float>();
    const uint64_t base = Mix(options_.seed, text.history());
    // Sharpness varies from step to step, so that entropy does too.
    const double sharpness = 1 + 20 * Unit(Mix(base, 0x5eed));
    for (int64_t v = 0; v < info_.vocabulary; ++v)
      out[v] = static_cast<float>(sharpness *
                                  Unit(Mix(base, static_cast<uint64_t>(v))));
    const bool eos =
        options_.eos_every > 0 && text.length() % options_.eos_every == 0;
    out[options_.eos_token] = eos ? 100.0f : -100.0f;
    if (options_.nan_logits && options_.nan_logits(text.length() - 1))
      out[0] = std::numeric_limits<float>::quiet_NaN();
    return logits;
  }

  // The rows of the text's last position: [layers, kv_heads, length].
  at::Tensor Rows(const ScriptedSequence& text) const {
    const int64_t n = text.length();
    at::Tensor rows = at::empty({info_.layers, info_.kv_heads, n}, at::kFloat);
    float* out = rows.data_ptr<float>();
    std::vector<double> weights(n);
    for (int64_t row = 0; row < info_.layers * info_.kv_heads; ++row) {
      // A part that stays with the position, and a part of the step's own:
      // heavy hitters exist, and are not all there is.
      const uint64_t lasting = Mix(options_.seed, row + 1);
      const uint64_t own = Mix(text.history(), row + 1);
      double total = 0;
      for (int64_t j = 0; j < n; ++j) {
        const uint64_t position = static_cast<uint64_t>(j) + 1;
        weights[j] = std::exp(4 * Unit(Mix(lasting, position)) +
                              4 * Unit(Mix(own, position)));
        total += weights[j];
      }
      for (int64_t j = 0; j < n; ++j)
        *out++ = static_cast<float>(weights[j] / total);
    }
    return rows;
  }

  const ScriptedModelOptions options_;
  ModelInfo info_;
};

}  // namespace

std::unique_ptr<Model> MakeScriptedModel(ScriptedModelOptions options) {
  return std::make_unique<ScriptedModel>(std::move(options));
}

}  // namespace kvrecall
