#include "server/engine/hf_model.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/InferenceMode.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "server/engine/attention.h"
#include "server/engine/compat.h"
#include "server/engine/elementwise.h"
#include "server/engine/hf_choices.h"
#include "server/engine/hf_config.h"
#include "server/engine/hf_sequence.h"
#include "server/engine/hf_weights.h"
#include "server/engine/linear.h"
#include "server/engine/memory.h"
#include "server/engine/rope.h"
#include "server/host_copies.h"

namespace kvrecall {
namespace {

// Bytes that texts may take.
int64_t FreeForTexts(const std::function<int64_t()>& free_memory,
                     at::Device device) {
  return free_memory ? free_memory() : FreeMemory(device);
}

class HfModel final : public Model {
 public:
  HfModel(HfConfig config, HfWeights weights, ModelInfo info,
          at::TensorOptions options, std::function<int64_t()> free_memory)
      : config_(std::move(config)),
        weights_(std::move(weights)),
        info_(std::move(info)),
        options_(options),
        free_memory_(std::move(free_memory)),
        rope_(config_.rope, config_.head_dim, info_.context_window,
              options.device()) {}

  const ModelInfo& info() const override { return info_; }

  absl::Status CheckDevice() override {
    return CatchTorch([&] {
      // On a GPU, errors show where somebody waits for it.
      at::ones({64}, options_.dtype(at::kFloat)).sum().item<float>();
      SynchronizeDevice(options_.device());
      return absl::OkStatus();
    });
  }

  DeviceMemory MemoryInUse() const override {
    return MemoryOf(options_.device());
  }

  absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(
      int64_t capacity, int64_t observer_bytes) override {
    RETURN_IF_ERROR(CheckCapacity(capacity, info_));
    MemoryNeed need =
        NeedOf(info_, config_.intermediate_size, capacity, observer_bytes);
    need.tables = 0;  // the model has them
    RETURN_IF_ERROR(
        CheckMemory(absl::StrCat("a text of ", capacity, " positions"), need,
                    FreeForTexts(free_memory_, options_.device())));
    return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<Sequence>> {
      const c10::InferenceMode guard;
      return std::make_unique<HfSequence>(
          KvShape{config_.layers, config_.kv_heads, config_.head_dim, capacity},
          options_);
    });
  }

  absl::StatusOr<PrefillObservation> Prefill(
      Sequence& sequence, std::span<const int64_t> tokens,
      const PrefillOptions& options) override {
    RETURN_IF_ERROR(CheckTokens(tokens, info_));
    auto& cache = static_cast<HfSequence&>(sequence);
    if (cache.length() != 0)
      return absl::InvalidArgumentError("prefill needs an empty sequence");
    if (static_cast<int64_t>(tokens.size()) > cache.capacity())
      return absl::InvalidArgumentError(
          absl::StrCat(tokens.size(), " tokens do not fit a sequence of ",
                       cache.capacity()));
    return CatchTorch([&]() -> absl::StatusOr<PrefillObservation> {
      const c10::InferenceMode guard;
      return PrefillChunks(cache, tokens, options);
    });
  }

  absl::StatusOr<std::vector<StepObservation>> Step(
      std::span<const StepInput> inputs) override {
    for (const StepInput& input : inputs) {
      if (input.sequence->length() >= input.sequence->capacity())
        return absl::InvalidArgumentError("a sequence in the step is full");
      RETURN_IF_ERROR(CheckTokens({&input.token, 1}, info_));
      if (input.lanes.visible.empty()) continue;
      RETURN_IF_ERROR(CheckTokens({&input.lanes.token, 1}, info_));
      RETURN_IF_ERROR(
          CheckLanes(input.lanes.visible, input.sequence->length(), info_));
    }
    return CatchTorch([&]() -> absl::StatusOr<std::vector<StepObservation>> {
      const c10::InferenceMode guard;
      return StepAll(inputs);
    });
  }

  absl::StatusOr<at::Tensor> StepMasked(
      const Sequence& sequence, int64_t token,
      std::span<const at::Tensor> visible) override {
    RETURN_IF_ERROR(CheckTokens({&token, 1}, info_));
    RETURN_IF_ERROR(CheckLanes(visible, sequence.length(), info_));
    const auto& cache = static_cast<const HfSequence&>(sequence);
    return CatchTorch([&]() -> absl::StatusOr<at::Tensor> {
      const c10::InferenceMode guard;
      return LanesAlone(cache, {token, visible});
    });
  }

 private:
  // Rows of one reading of the weights: what bounds the memory that lanes take,
  // and on the CPU lets each come out as it would alone.
  static constexpr size_t kMostRows = kMostLoneRows;

  at::Tensor ToDevice(std::span<const int64_t> ids) const {
    return CopyToDevice(ids, at::kLong, options_.device());
  }

  // What a step feeds, on the device by one copy.
  struct Fed {
    at::Tensor tokens, positions;  // [T], int64
  };
  Fed ToDevice(std::span<const int64_t> tokens,
               std::span<const int64_t> positions) const {
    std::vector<int64_t> both(tokens.begin(), tokens.end());
    both.insert(both.end(), positions.begin(), positions.end());
    const at::Tensor ids = ToDevice(both);
    const auto count = static_cast<int64_t>(tokens.size());
    return {ids.narrow(0, 0, count), ids.narrow(0, count, count)};
  }

  // One transformer block over x [T, hidden], in place; `attend` gets the
  // rotated queries [T, query_heads, head_dim], keys and values [T, kv_heads,
  // head_dim] and returns [T, query_heads, head_dim].
  template <typename AttendFn>
  void Block(const LayerWeights& w, at::Tensor x, const Rope::Angles& angles,
             AttendFn attend) const {
    const int64_t t = x.size(0);
    const double eps = config_.rms_norm_eps;
    const int64_t heads = config_.query_heads;
    const int64_t groups = config_.kv_heads;
    const at::Tensor qkv =
        Linear(RmsNorm(x, w.input_norm, eps), w.qkv, w.qkv_bias)
            .view({t, heads + 2 * groups, config_.head_dim});
    const at::Tensor q = NormHeads(qkv.narrow(1, 0, heads), w.q_norm);
    const at::Tensor k = NormHeads(qkv.narrow(1, heads, groups), w.k_norm);
    if (w.q_norm.defined() || w.k_norm.defined()) {
      RotateInPlace(q, angles.cos, angles.sin);
      RotateInPlace(k, angles.cos, angles.sin);
    } else {  // side by side yet
      RotateInPlace(qkv.narrow(1, 0, heads + groups), angles.cos, angles.sin);
    }
    const at::Tensor attended =
        attend(q, k, qkv.narrow(1, heads + groups, groups));
    AddLinear(x, attended.reshape({t, -1}), w.o, w.o_bias);
    const at::Tensor gate_up =
        Linear(RmsNorm(x, w.post_norm, eps), w.gate_up, {});
    AddLinear(x, SiluMul(gate_up), w.down, {});
  }

  // Each head [head_dim] by itself, where the architecture does that.
  at::Tensor NormHeads(const at::Tensor& x, const at::Tensor& weight) const {
    return weight.defined() ? RmsNorm(x, weight, config_.rms_norm_eps) : x;
  }

  absl::StatusOr<PrefillObservation> PrefillChunks(
      HfSequence& cache, std::span<const int64_t> tokens,
      const PrefillOptions& options) const {
    const int64_t n = static_cast<int64_t>(tokens.size());
    PrefillSums sums;
    if (options.statistics) sums = EmptySums(n, options.windows);
    for (int64_t begin = 0; begin < n; begin += info_.prefill_chunk) {
      if (options.cancelled != nullptr && options.cancelled->load())
        return absl::CancelledError("cancelled during prefill");
      const int64_t count = std::min(info_.prefill_chunk, n - begin);
      const Rope::Angles angles =
          rope_.At(at::arange(begin, begin + count, options_.dtype(at::kLong)));
      at::Tensor x = weights_.embedding.index_select(
          0, ToDevice(tokens.subspan(begin, count)));
      for (int64_t l = 0; l < config_.layers; ++l)
        Block(
            weights_.layers[l], x, angles,
            [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
              return cache.Attend(
                  l, q, k, v,
                  options.statistics
                      ? WhatIsSummed(sums, options.windows, l, begin, count, n)
                      : AttentionRequest{});
            });
      cache.Advance(count);
      if (options.on_chunk) options.on_chunk();
    }
    PrefillObservation observation;
    if (!options.statistics) return observation;
    observation.sums = sums.all.to(at::kFloat);
    observation.last_row = sums.last_row;
    for (const at::Tensor& window : sums.windows)
      observation.window_sums.push_back(window.to(at::kFloat));
    return observation;
  }

  // What a prefill gathers, each [layers, kv_heads, P − 1].
  struct PrefillSums {
    at::Tensor all;                   // float64
    at::Tensor last_row;              // float32
    std::vector<at::Tensor> windows;  // float64
  };

  PrefillSums EmptySums(int64_t n, const std::vector<int64_t>& windows) const {
    const std::vector<int64_t> shape = {config_.layers, config_.kv_heads, n};
    const at::TensorOptions wide = options_.dtype(at::kDouble);
    PrefillSums sums;
    sums.all = at::zeros(shape, wide);
    sums.last_row = at::zeros(shape, options_.dtype(at::kFloat));
    for (size_t i = 0; i < windows.size(); ++i)
      sums.windows.push_back(at::zeros(shape, wide));
    return sums;
  }

  // For the chunk of `count` queries from `begin` on, out of n.
  static AttentionRequest WhatIsSummed(const PrefillSums& sums,
                                       const std::vector<int64_t>& windows,
                                       int64_t layer, int64_t begin,
                                       int64_t count, int64_t n) {
    AttentionRequest request;
    request.sums.push_back({0, sums.all[layer]});
    for (size_t i = 0; i < windows.size(); ++i) {
      const int64_t first = n - (windows[i] - 1) - begin;
      request.sums.push_back(
          {std::max<int64_t>(first, 0), sums.windows[i][layer]});
    }
    if (begin + count == n)
      request.rows.push_back({count - 1, sums.last_row[layer]});
    return request;
  }

  // Some lanes of a sequence's last step, in a pass.
  struct LaneRows {
    const HfSequence* sequence = nullptr;
    int64_t token = 0;
    std::vector<at::Tensor> masks;  // on the device

    int64_t count() const { return std::ssize(masks); }
  };

  LaneRows RowsOf(const HfSequence& sequence, const MaskedLanes& lanes) const {
    LaneRows rows = {&sequence, lanes.token, {}};
    for (const at::Tensor& mask : lanes.visible)
      rows.masks.push_back(mask.to(options_.device()));
    return rows;
  }

  // One reading of the weights: a step of each input, then the lanes, each over
  // what its sequence held before the steps. Rows go where `observations` has
  // them. Returns the logits of all, [steps + lanes, vocabulary], float32; no
  // sequence is advanced.
  at::Tensor Pass(std::span<const StepInput> inputs,
                  std::span<const LaneRows> lanes,
                  std::span<const StepObservation> observations) const {
    std::vector<int64_t> tokens, positions;
    for (const StepInput& input : inputs) {
      tokens.push_back(input.token);
      positions.push_back(input.sequence->length());
    }
    for (const LaneRows& rows : lanes) {
      tokens.insert(tokens.end(), rows.masks.size(), rows.token);
      positions.insert(positions.end(), rows.masks.size(),
                       rows.sequence->length() - 1);
    }
    const Fed fed = ToDevice(tokens, positions);
    const Rope::Angles angles = rope_.At(fed.positions);
    at::Tensor x = weights_.embedding.index_select(0, fed.tokens);
    for (int64_t l = 0; l < config_.layers; ++l)
      Block(weights_.layers[l], x, angles,
            [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
              std::vector<at::Tensor> outputs;
              int64_t row = 0;
              for (size_t i = 0; i < inputs.size(); ++i, ++row) {
                AttentionRequest request;
                if (inputs[i].rows)
                  request.rows.push_back({0, observations[i].rows[l]});
                outputs.push_back(static_cast<HfSequence&>(*inputs[i].sequence)
                                      .Attend(l, q.narrow(0, row, 1),
                                              k.narrow(0, row, 1),
                                              v.narrow(0, row, 1), request));
              }
              for (const LaneRows& rows : lanes) {
                outputs.push_back(rows.sequence->AttendMasked(
                    l, {q.narrow(0, row, rows.count()),
                        k.narrow(0, row, rows.count()),
                        v.narrow(0, row, rows.count()),
                        MasksOfLayer(rows.masks, l)}));
                row += rows.count();
              }
              return outputs.size() == 1 ? outputs[0] : at::cat(outputs, 0);
            });
    return LinearToFloat(RmsNorm(x, weights_.norm, config_.rms_norm_eps),
                         weights_.head);
  }

  std::vector<StepObservation> StepAll(
      std::span<const StepInput> inputs) const {
    std::vector<StepObservation> observations(inputs.size());
    size_t rows = inputs.size();
    for (size_t i = 0; i < inputs.size(); ++i) {
      rows += inputs[i].lanes.visible.size();
      if (inputs[i].rows)
        observations[i].rows = at::empty({config_.layers, config_.kv_heads,
                                          inputs[i].sequence->length() + 1},
                                         options_.dtype(at::kFloat));
    }
    // Elsewhere a product's rounding depends on how many rows it has.
    const bool together = options_.device().is_cpu() && rows <= kMostRows;
    std::vector<LaneRows> lanes;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].lanes.visible.empty()) continue;
      const auto& cache = static_cast<HfSequence&>(*inputs[i].sequence);
      if (together)
        lanes.push_back(RowsOf(cache, inputs[i].lanes));
      else
        observations[i].lanes = LanesAlone(cache, inputs[i].lanes);
    }
    const at::Tensor logits = Pass(inputs, lanes, observations);
    int64_t row = std::ssize(inputs);
    auto next = lanes.begin();
    for (size_t i = 0; i < inputs.size(); ++i) {
      static_cast<HfSequence&>(*inputs[i].sequence).Advance(1);
      observations[i].logits = logits[static_cast<int64_t>(i)];
      if (!together || inputs[i].lanes.visible.empty()) continue;
      observations[i].lanes = logits.narrow(0, row, next->count());
      row += (next++)->count();
    }
    return observations;
  }

  // [lanes, vocabulary], float32
  at::Tensor LanesAlone(const HfSequence& cache,
                        const MaskedLanes& lanes) const {
    std::vector<at::Tensor> logits;
    for (size_t begin = 0; begin < lanes.visible.size(); begin += kMostRows) {
      const size_t count = std::min(kMostRows, lanes.visible.size() - begin);
      const LaneRows rows =
          RowsOf(cache, {lanes.token, lanes.visible.subspan(begin, count)});
      logits.push_back(Pass({}, {&rows, 1}, {}));
    }
    return logits.size() == 1 ? logits[0] : at::cat(logits, 0);
  }

  // Masks as StepMasked takes them → [1 or kv_heads, past] each.
  std::vector<at::Tensor> MasksOfLayer(const std::vector<at::Tensor>& masks,
                                       int64_t layer) const {
    std::vector<at::Tensor> rows;
    for (const at::Tensor& mask : masks) {
      const int64_t in_layer =
          std::max<int64_t>(mask.size(0) / config_.layers, 1);
      rows.push_back(mask.size(0) == 1
                         ? mask
                         : mask.narrow(0, layer * in_layer, in_layer));
    }
    return rows;
  }

  const HfConfig config_;
  const HfWeights weights_;
  const ModelInfo info_;
  const at::TensorOptions options_;  // dtype and device of weights and cache
  const std::function<int64_t()> free_memory_;  // may be empty
  const Rope rope_;
};

// Loads or makes weights by `make(config, tensor options)`.
template <typename MakeWeights>
absl::StatusOr<std::unique_ptr<Model>> MakeHfModel(
    HfConfig config, const HfModelOptions& options, MakeWeights make) {
  ASSIGN_OR_RETURN(const HfChoices choices, ChooseForHfModel(config, options));
  return CatchTorch([&]() -> absl::StatusOr<std::unique_ptr<Model>> {
    const c10::InferenceMode guard;
    at::set_num_threads(choices.threads);
    ForbidReducedPrecision();
    const at::TensorOptions tensor_options =
        at::TensorOptions().dtype(choices.dtype).device(choices.device);
    absl::StatusOr<HfWeights> weights = make(config, tensor_options);
    RETURN_IF_ERROR(weights.status());
    ModelInfo info = DescribeHfModel(config, options, choices);
    info.digest = weights->digest;
    info.weight_bytes = weights->bytes;
    RETURN_IF_ERROR(
        FitContext(options, config,
                   FreeForTexts(options.free_memory, choices.device), info));
    return std::make_unique<HfModel>(std::move(config), *std::move(weights),
                                     std::move(info), tensor_options,
                                     options.free_memory);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadHfModel(
    const std::string& directory, const HfModelOptions& options) {
  ASSIGN_OR_RETURN(HfConfig config, ReadHfConfig(directory));
  return MakeHfModel(
      std::move(config), options,
      [&](const HfConfig& c, const at::TensorOptions& tensor_options) {
        return LoadHfWeights(directory, c, tensor_options);
      });
}

absl::StatusOr<ModelInfo> CheckHfModel(const std::string& directory,
                                       const HfModelOptions& options) {
  ASSIGN_OR_RETURN(const HfConfig config, ReadHfConfig(directory));
  ASSIGN_OR_RETURN(const HfChoices choices, ChooseForHfModel(config, options));
  return CatchTorch([&]() -> absl::StatusOr<ModelInfo> {
    ModelInfo info = DescribeHfModel(config, options, choices);
    ASSIGN_OR_RETURN(info.weight_bytes,
                     CheckHfWeights(directory, config, choices.dtype));
    const int64_t free = FreeForTexts(options.free_memory, choices.device);
    if (info.weight_bytes > free)
      return absl::ResourceExhaustedError(
          absl::StrFormat("the weights take %.2f GiB as %s; %.2f GiB is free",
                          static_cast<double>(info.weight_bytes) / (1 << 30),
                          info.dtype, static_cast<double>(free) / (1 << 30)));
    RETURN_IF_ERROR(
        FitContext(options, config, free - info.weight_bytes, info));
    return info;
  });
}

absl::StatusOr<std::unique_ptr<Model>> MakeRandomHfModel(
    HfConfig config, const HfModelOptions& options) {
  return MakeHfModel(
      std::move(config), options,
      [](const HfConfig& c, const at::TensorOptions& tensor_options) {
        return RandomHfWeights(c, tensor_options);
      });
}

}  // namespace kvrecall
