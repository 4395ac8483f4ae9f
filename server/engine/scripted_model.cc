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

// Keys: numbers in [−1, 1), a function of the seed and the tokens up to their
// own.
class ScriptedSequence final : public Sequence {
 public:
  ScriptedSequence(const ModelInfo& info, uint64_t seed, int64_t capacity)
      : layers_(info.layers),
        kv_heads_(info.kv_heads),
        head_dim_(info.head_dim),
        seed_(seed),
        capacity_(capacity) {}

  int64_t length() const override {
    return static_cast<int64_t>(histories_.size());
  }
  int64_t capacity() const override { return capacity_; }

  at::Tensor Keys(int64_t first, int64_t count) const override {
    at::Tensor keys =
        at::empty({layers_, kv_heads_, count, head_dim_}, at::kFloat);
    float* out = keys.data_ptr<float>();
    for (int64_t row = 0; row < layers_ * kv_heads_; ++row)
      for (int64_t j = first; j < first + count; ++j) {
        const uint64_t key = Mix(Mix(seed_, HistoryAt(j)), row + 1);
        for (int64_t d = 0; d < head_dim_; ++d)
          *out++ = static_cast<float>(2 * Unit(Mix(key, d + 1)) - 1);
      }
    return keys;
  }
  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override {
    return at::matmul(Keys(0, positions), directions.unsqueeze(-1)).squeeze(-1);
  }

  void Feed(int64_t token) {
    histories_.push_back(Mix(history(), static_cast<uint64_t>(token) + 1));
  }
  // Digest of the tokens fed.
  uint64_t history() const {
    return histories_.empty() ? 0 : histories_.back();
  }

 private:
  uint64_t HistoryAt(int64_t position) const {
    return histories_[static_cast<size_t>(position)];
  }

  const int64_t layers_, kv_heads_, head_dim_;
  const uint64_t seed_;
  const int64_t capacity_;
  std::vector<uint64_t> histories_;  // after each token
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

  absl::Status CheckDevice() override {
    return options_.device ? options_.device() : absl::OkStatus();
  }

  absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(
      int64_t capacity, int64_t /*observer_bytes*/) override {
    RETURN_IF_ERROR(CheckCapacity(capacity, info_));
    return std::make_unique<ScriptedSequence>(info_, options_.seed, capacity);
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
      if (options.statistics) Observe(text, i, n, options.windows, observation);
      const bool ends_chunk = (i + 1) % info_.prefill_chunk == 0 || i == n - 1;
      if (ends_chunk && options.on_chunk) options.on_chunk();
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
      StepObservation& observation = observations.emplace_back();
      if (!input.lanes.visible.empty()) {
        ASSIGN_OR_RETURN(observation.lanes, StepMasked(text, input.lanes.token,
                                                       input.lanes.visible));
      }
      RETURN_IF_ERROR(CallHook(ScriptedPoint::Phase::kStep, text.length()));
      text.Feed(input.token);
      observation.logits = Logits(text);
      if (input.rows) observation.rows = StepRows(text);
    }
    return observations;
  }

  absl::StatusOr<at::Tensor> StepMasked(
      const Sequence& sequence, int64_t token,
      std::span<const at::Tensor> visible) override {
    const auto& text = static_cast<const ScriptedSequence&>(sequence);
    RETURN_IF_ERROR(CheckTokens({&token, 1}, info_));
    RETURN_IF_ERROR(CheckLanes(visible, text.length(), info_));
    RETURN_IF_ERROR(CallHook(ScriptedPoint::Phase::kMaskedStep, text.length()));
    const at::Tensor own = Logits(text);
    const at::Tensor rows = Rows(text);
    std::vector<at::Tensor> logits;
    for (const at::Tensor& mask : visible)
      logits.push_back(own + Displacement(text, rows, mask));
    return at::stack(logits);
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

  // What a prefill of `n` tokens gathers of its token `i`, the last one fed.
  void Observe(const ScriptedSequence& text, int64_t i, int64_t n,
               const std::vector<int64_t>& windows,
               PrefillObservation& observation) const {
    const at::Tensor rows = Rows(text);
    observation.sums.narrow(2, 0, i + 1).add_(rows);
    for (size_t w = 0; w < windows.size(); ++w)
      if (i >= n - (windows[w] - 1))
        observation.window_sums[w].narrow(2, 0, i + 1).add_(rows);
    if (i == n - 1) observation.last_row = rows;
  }

  // Those of a step, which may be told to be broken.
  at::Tensor StepRows(const ScriptedSequence& text) const {
    at::Tensor rows = Rows(text);
    const int64_t last = text.length() - 1;
    if (options_.nan_rows && options_.nan_rows(last))
      rows.select(2, last).fill_(std::numeric_limits<float>::quiet_NaN());
    return rows;
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

  // What hiding the positions that `mask` does not show adds to the logits:
  // [vocabulary], exactly 0 where it shows all.
  at::Tensor Displacement(const ScriptedSequence& text, const at::Tensor& rows,
                          const at::Tensor& mask) const {
    constexpr double kStrength = 20;
    const at::Tensor seen = mask.contiguous();
    const uint8_t* s = seen.data_ptr<uint8_t>();
    const int64_t past = seen.size(1);
    // Rows of attention to one row of the mask.
    const int64_t shared = info_.layers * info_.kv_heads / seen.size(0);
    const float* attention = rows.data_ptr<float>();  // [rows, past + 1]
    uint64_t hidden = text.history();
    double mass = 0;
    for (int64_t row = 0; row < seen.size(0) * shared; ++row)
      for (int64_t j = 0; j < past; ++j) {
        if (s[row / shared * past + j] != 0) continue;
        hidden = Mix(hidden, static_cast<uint64_t>(row * past + j) + 1);
        mass += attention[row * (past + 1) + j];
      }
    const double strength =
        kStrength * mass / static_cast<double>(seen.size(0) * shared);
    at::Tensor displacement = at::empty({info_.vocabulary}, at::kFloat);
    float* out = displacement.data_ptr<float>();
    for (int64_t v = 0; v < info_.vocabulary; ++v)
      out[v] = static_cast<float>(
          strength * (Unit(Mix(hidden, static_cast<uint64_t>(v) + 1)) - 0.5));
    return displacement;
  }

  const ScriptedModelOptions options_;
  ModelInfo info_;
};

}  // namespace

std::unique_ptr<Model> MakeScriptedModel(ScriptedModelOptions options) {
  return std::make_unique<ScriptedModel>(std::move(options));
}

}  // namespace kvrecall
