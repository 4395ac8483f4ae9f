#include "server/engine/hf_weights.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "server/engine/safetensors.h"
#include "server/huge_pages.h"

namespace kvrecall {
namespace {

// Rows of a joined tensor.
struct Part {
  std::string name;
  int64_t rows;
};

absl::StatusOr<at::ScalarType> StoredType(const std::string& name,
                                          const std::string& dtype) {
  if (dtype == "BF16") return at::kBFloat16;
  if (dtype == "F16") return at::kHalf;
  if (dtype == "F32") return at::kFloat;
  return absl::InvalidArgumentError(
      absl::StrCat("tensor '", name, "' is stored as ", dtype,
                   "; the engine reads BF16, F16 and F32"));
}

// On the device "meta", where tensors are shapes alone, it reads headers alone.
class Loader {
 public:
  Loader(std::shared_ptr<const Checkpoint> checkpoint,
         const at::TensorOptions& options)
      : checkpoint_(std::move(checkpoint)), options_(options) {}

  // [rows, columns], or [rows].
  absl::Status Load(const std::string& name, const std::vector<int64_t>& shape,
                    at::Tensor& tensor) {
    return Join({{name, shape[0]}}, shape.size() > 1 ? shape[1] : 0, tensor);
  }

  // The parts below each other, each [rows, columns], or [rows] if `columns`
  // is 0. Each is copied into its place, so no more than one is held twice.
  absl::Status Join(const std::vector<Part>& parts, int64_t columns,
                    at::Tensor& tensor) {
    int64_t rows = 0;
    for (const Part& part : parts) rows += part.rows;
    const auto shape = [&](int64_t count) {
      return columns > 0 ? std::vector<int64_t>{count, columns}
                         : std::vector<int64_t>{count};
    };
    tensor = ZerosOnHugePages(shape(rows), options_);
    int64_t row = 0;
    for (const Part& part : parts) {
      const absl::StatusOr<TensorView> view = Find(part.name, shape(part.rows));
      RETURN_IF_ERROR(view.status());
      ASSIGN_OR_RETURN(const at::ScalarType dtype,
                       StoredType(part.name, view->dtype));
      if (tensor.is_meta()) continue;
      const StoredTensor stored = Stored(*view, dtype);
      tensor.narrow(0, row, part.rows).copy_(stored.tensor);
      ReleasePages(stored.bytes);
      row += part.rows;
    }
    bytes_ += static_cast<int64_t>(tensor.nbytes());
    return absl::OkStatus();
  }

  int64_t bytes() const { return bytes_; }

 private:
  struct StoredTensor {
    at::Tensor tensor;                 // in the file's dtype
    std::span<const std::byte> bytes;  // in the file
  };

  absl::StatusOr<TensorView> Find(const std::string& name,
                                  const std::vector<int64_t>& shape) const {
    absl::StatusOr<TensorView> view = checkpoint_->Find(name);
    if (view.ok() && view->shape != shape)
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor '", name, "' has shape [", absl::StrJoin(view->shape, ", "),
          "]; config.json asks for [", absl::StrJoin(shape, ", "), "]"));
    return view;
  }

  // The tensor where it lies in the mapped file, or a copy where numbers must
  // not lie so: the format lets a header have any length.
  StoredTensor Stored(const TensorView& view, at::ScalarType dtype) const {
    // The mapping is read-only and the tensor is never written to.
    void* data = const_cast<void*>(static_cast<const void*>(view.data.data()));
    const auto options = at::TensorOptions().dtype(dtype);
    if (reinterpret_cast<uintptr_t>(data) % c10::elementSize(dtype) == 0)
      return {at::from_blob(
                  data, view.shape, [keep = checkpoint_](void*) {}, options),
              view.data};
    const at::Tensor copy = at::empty(view.shape, options);
    std::memcpy(copy.data_ptr(), data, view.data.size());
    return {copy, view.data};
  }

  std::shared_ptr<const Checkpoint> checkpoint_;
  at::TensorOptions options_;
  int64_t bytes_ = 0;
};

// `prefix`: "model.layers.0.".
absl::Status LoadAttention(Loader& loader, const std::string& prefix,
                           const HfConfig& config, LayerWeights& w) {
  const std::string attention = prefix + "self_attn.";
  const int64_t h = config.hidden_size;
  const int64_t q = config.query_heads * config.head_dim;
  const int64_t kv = config.kv_heads * config.head_dim;
  const auto projections = [&](const char* what) {
    return std::vector<Part>{{attention + "q_proj." + what, q},
                             {attention + "k_proj." + what, kv},
                             {attention + "v_proj." + what, kv}};
  };
  RETURN_IF_ERROR(loader.Join(projections("weight"), h, w.qkv));
  if (config.qkv_bias)
    RETURN_IF_ERROR(loader.Join(projections("bias"), 0, w.qkv_bias));
  if (config.qk_norm) {
    const std::vector<int64_t> head = {config.head_dim};
    RETURN_IF_ERROR(loader.Load(attention + "q_norm.weight", head, w.q_norm));
    RETURN_IF_ERROR(loader.Load(attention + "k_norm.weight", head, w.k_norm));
  }
  if (config.o_bias)
    RETURN_IF_ERROR(loader.Load(attention + "o_proj.bias", {h}, w.o_bias));
  return loader.Load(attention + "o_proj.weight", {h, q}, w.o);
}

absl::Status LoadLayer(Loader& loader, int64_t index, const HfConfig& config,
                       LayerWeights& w) {
  const std::string prefix = absl::StrCat("model.layers.", index, ".");
  const int64_t h = config.hidden_size;
  const int64_t f = config.intermediate_size;
  RETURN_IF_ERROR(
      loader.Load(prefix + "input_layernorm.weight", {h}, w.input_norm));
  RETURN_IF_ERROR(LoadAttention(loader, prefix, config, w));
  RETURN_IF_ERROR(loader.Load(prefix + "post_attention_layernorm.weight", {h},
                              w.post_norm));
  RETURN_IF_ERROR(loader.Join({{prefix + "mlp.gate_proj.weight", f},
                               {prefix + "mlp.up_proj.weight", f}},
                              h, w.gate_up));
  return loader.Load(prefix + "mlp.down_proj.weight", {h, f}, w.down);
}

// Piece by piece, so that a file need not fit the memory beside the weights.
void AddFile(std::span<const std::byte> bytes, Sha256& hash) {
  constexpr size_t kPiece = size_t{16} << 20;
  hash.BeginField(bytes.size());
  for (size_t begin = 0; begin < bytes.size(); begin += kPiece) {
    const std::span<const std::byte> piece =
        bytes.subspan(begin, std::min(kPiece, bytes.size() - begin));
    hash.Add({reinterpret_cast<const char*>(piece.data()), piece.size()});
    ReleasePages(piece);
  }
}

std::string Digest(const std::string& directory, const Checkpoint& checkpoint) {
  Sha256 hash;
  std::ifstream config(directory + "/config.json", std::ios::binary);
  hash.AddField(std::string(std::istreambuf_iterator<char>(config), {}));
  for (const auto& file : checkpoint.files()) AddFile(file->bytes(), hash);
  return hash.HexDigest();
}

absl::Status LoadAll(Loader& loader, const HfConfig& config,
                     HfWeights& weights) {
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
  return absl::OkStatus();
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
  RETURN_IF_ERROR(LoadAll(loader, config, weights));
  weights.digest = Digest(directory, *checkpoint);
  return weights;
}

absl::StatusOr<int64_t> CheckHfWeights(const std::string& directory,
                                       const HfConfig& config,
                                       at::ScalarType dtype) {
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint,
                   Checkpoint::Open(directory));
  Loader loader(std::move(checkpoint),
                at::TensorOptions().dtype(dtype).device(at::kMeta));
  HfWeights weights;
  RETURN_IF_ERROR(LoadAll(loader, config, weights));
  return weights.bytes;
}

absl::StatusOr<HfWeights> RandomHfWeights(const HfConfig& config,
                                          const at::TensorOptions& options) {
  at::manual_seed(1);
  HfWeights weights;
  weights.digest = "random";
  const auto count = [&](at::Tensor tensor) {
    weights.bytes += static_cast<int64_t>(tensor.nbytes());
    return tensor;
  };
  // As Hugging Face initialises its models.
  constexpr double kDeviation = 0.02;
  const auto normal = [&](std::vector<int64_t> shape) {
    return count(ZerosOnHugePages(shape, options).normal_(0, kDeviation));
  };
  const auto ones = [&](int64_t size) {
    return count(at::ones({size}, options));
  };
  const int64_t h = config.hidden_size;
  const int64_t q = config.query_heads * config.head_dim;
  const int64_t rows = q + 2 * config.kv_heads * config.head_dim;
  weights.embedding = normal({config.vocabulary, h});
  for (int64_t l = 0; l < config.layers; ++l) {
    LayerWeights w;
    w.input_norm = ones(h);
    w.qkv = normal({rows, h});
    if (config.qkv_bias) w.qkv_bias = normal({rows});
    if (config.qk_norm) {
      w.q_norm = ones(config.head_dim);
      w.k_norm = ones(config.head_dim);
    }
    w.o = normal({h, q});
    if (config.o_bias) w.o_bias = normal({h});
    w.post_norm = ones(h);
    w.gate_up = normal({2 * config.intermediate_size, h});
    w.down = normal({h, config.intermediate_size});
    weights.layers.push_back(std::move(w));
  }
  weights.norm = ones(h);
  weights.head =
      config.tied_head ? weights.embedding : normal({config.vocabulary, h});
  return weights;
}

}  // namespace kvrecall
