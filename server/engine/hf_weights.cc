#include "server/engine/hf_weights.h"

#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string_view>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "server/engine/safetensors.h"

namespace kvrecall {
namespace {

class Loader {
 public:
  Loader(std::shared_ptr<const Checkpoint> checkpoint,
         const at::TensorOptions& options)
      : checkpoint_(std::move(checkpoint)), options_(options) {}

  absl::Status Load(const std::string& name, std::vector<int64_t> shape,
                    at::Tensor& tensor) {
    ASSIGN_OR_RETURN(const TensorView view, checkpoint_->Find(name));
    if (view.shape != shape)
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", name, "' has shape [", absl::StrJoin(view.shape, ", "),
          "]; config.json asks for [", absl::StrJoin(shape, ", "), "]"));
    at::ScalarType stored;
    if (view.dtype == "BF16") {
      stored = at::kBFloat16;
    } else if (view.dtype == "F32") {
      stored = at::kFloat;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor '", name, "' is stored as ", view.dtype,
                       "; the engine reads BF16 and F32"));
    }
    // The mapping is read-only and the tensor is never written to.
    void* data = const_cast<void*>(static_cast<const void*>(view.data.data()));
    tensor = at::from_blob(
                 data, shape, [keep = checkpoint_](void*) {},
                 at::TensorOptions().dtype(stored))
                 .to(options_);
    bytes_ += tensor.nbytes();
    return absl::OkStatus();
  }

  int64_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<const Checkpoint> checkpoint_;
  at::TensorOptions options_;
  int64_t bytes_ = 0;
};

absl::Status LoadLayer(Loader& loader, int64_t index, const HfConfig& config,
                       LayerWeights& w) {
  const std::string prefix = absl::StrCat("model.layers.", index, ".");
  const int64_t h = config.hidden_size;
  const int64_t f = config.intermediate_size;
  const int64_t q = config.query_heads * config.head_dim;
  const int64_t kv = config.kv_heads * config.head_dim;
  const auto load = [&](const char* name, std::vector<int64_t> shape,
                        at::Tensor& tensor) {
    return loader.Load(prefix + name, std::move(shape), tensor);
  };
  RETURN_IF_ERROR(load("input_layernorm.weight", {h}, w.input_norm));
  RETURN_IF_ERROR(load("self_attn.q_proj.weight", {q, h}, w.q));
  RETURN_IF_ERROR(load("self_attn.q_proj.bias", {q}, w.q_bias));
  RETURN_IF_ERROR(load("self_attn.k_proj.weight", {kv, h}, w.k));
  RETURN_IF_ERROR(load("self_attn.k_proj.bias", {kv}, w.k_bias));
  RETURN_IF_ERROR(load("self_attn.v_proj.weight", {kv, h}, w.v));
  RETURN_IF_ERROR(load("self_attn.v_proj.bias", {kv}, w.v_bias));
  RETURN_IF_ERROR(load("self_attn.o_proj.weight", {h, q}, w.o));
  RETURN_IF_ERROR(load("post_attention_layernorm.weight", {h}, w.post_norm));
  RETURN_IF_ERROR(load("mlp.gate_proj.weight", {f, h}, w.gate));
  RETURN_IF_ERROR(load("mlp.up_proj.weight", {f, h}, w.up));
  return load("mlp.down_proj.weight", {h, f}, w.down);
}

std::string Digest(const std::string& directory, const Checkpoint& checkpoint) {
  Sha256 hash;
  std::ifstream config(directory + "/config.json", std::ios::binary);
  hash.AddField(std::string(std::istreambuf_iterator<char>(config), {}));
  for (const auto& file : checkpoint.files()) {
    const std::span<const std::byte> bytes = file->bytes();
    hash.AddField(std::string_view(reinterpret_cast<const char*>(bytes.data()),
                                   bytes.size()));
  }
  return hash.HexDigest();
}

}  // namespace

absl::StatusOr<HfWeights> LoadHfWeights(const std::string& directory,
                                        const HfConfig& config,
                                        const at::TensorOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> opened,
                   Checkpoint::Open(directory));
  const std::shared_ptr<const Checkpoint> checkpoint = std::move(opened);
  Loader loader(checkpoint, options);
  HfWeights weights;
  const std::vector<int64_t> table = {config.vocabulary, config.hidden_size};
  RETURN_IF_ERROR(
      loader.Load("model.embed_tokens.weight", table, weights.embedding));
  weights.layers.resize(config.layers);
  for (int64_t l = 0; l < config.layers; ++l)
    RETURN_IF_ERROR(LoadLayer(loader, l, config, weights.layers[l]));
  RETURN_IF_ERROR(
      loader.Load("model.norm.weight", {config.hidden_size}, weights.norm));
  if (config.tied_head) {
    weights.head = weights.embedding;
  } else {
    RETURN_IF_ERROR(loader.Load("lm_head.weight", table, weights.head));
  }
  weights.bytes = loader.bytes();
  weights.digest = Digest(directory, *checkpoint);
  return weights;
}

}  // namespace kvrecall
