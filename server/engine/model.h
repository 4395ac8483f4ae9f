#pragma once

// The model as the rest of the server sees it: tokens in, logits and attention
// statistics out. It knows nothing of policies, records or requests.
//
// Implementations: HfModel (a Hugging Face checkpoint in libtorch) and
// ScriptedModel (no weights, for tests).
//
// A Model and its Sequences belong to one thread, the engine thread; info()
// may be read from any thread.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvrecall {

struct ModelInfo {
  std::string name;          // as the operator named it
  std::string architecture;  // "Qwen2ForCausalLM"
  std::string digest;        // SHA-256 over configuration and weights
  int64_t layers = 0;
  int64_t query_heads = 0;
  int64_t kv_heads = 0;  // KV groups
  int64_t head_dim = 0;
  int64_t hidden_size = 0;
  int64_t vocabulary = 0;
  int64_t context_window = 0;  // positions
  // What sets it, in words, with the numbers where memory does; may be empty.
  std::string context_limit;
  std::vector<int64_t> eos_token_ids;  // any of them ends the text
  std::string dtype;                   // "float32" or "bfloat16"
  std::string device;                  // "cpu", or the GPU's name
  int threads = 0;
  std::string libtorch;
  // "avx512_bf16, oneDNN 2.6.3"; of a GPU its name and CUDA's versions.
  std::string kernels;
  int64_t prefill_chunk = 0;  // queries per prefill chunk
  int64_t weight_bytes = 0;
  int64_t kv_bytes_per_token = 0;
};

// Bytes of a GPU's memory; 0 on a CPU.
struct DeviceMemory {
  int64_t allocated = 0;  // by tensors
  int64_t reserved = 0;   // of the GPU's, for those and for reuse
  int64_t total = 0;
};

// The KV cache of one text. Contiguous; sized once, never re-copied.
class Sequence {
 public:
  virtual ~Sequence() = default;
  // Positions whose keys and values are held.
  virtual int64_t length() const = 0;
  // Positions that fit.
  virtual int64_t capacity() const = 0;
  // The keys, after RoPE, of `count` positions held from `first` on:
  // [layers, kv_heads, count, head_dim], float32.
  virtual at::Tensor Keys(int64_t first, int64_t count) const = 0;
  // Inner products of the first `positions` keys held with a direction of each
  // layer's and group's own: [layers, kv_heads, head_dim], float32 →
  // [layers, kv_heads, positions], float32, accumulated in float32.
  virtual at::Tensor KeyProducts(const at::Tensor& directions,
                                 int64_t positions) const = 0;
};

// Attention statistics over the queries of a prefill of P − 1 tokens. A group
// row is the mean over the query heads that share a KV head.
struct PrefillObservation {
  at::Tensor sums;  // [layers, kv_heads, P − 1], float32: over all queries
  at::Tensor last_row;  // [layers, kv_heads, P − 1], float32: the last query's
  // One for each window w asked for: [layers, kv_heads, P − 1], float32, over
  // the last w − 1 queries.
  std::vector<at::Tensor> window_sums;
};

// What one decode step yields.
struct StepObservation {
  at::Tensor logits;  // [vocabulary], float32, raw
  // [layers, kv_heads, N], float32; rows sum to 1. Undefined if not wanted.
  at::Tensor rows;
  // [lanes, vocabulary], float32, raw: of the step before. Undefined without.
  at::Tensor lanes;
};

struct PrefillOptions {
  // Without them the observation is empty, and so are its costs.
  bool statistics = true;
  std::vector<int64_t> windows;  // each ≥ 1
  // Looked at between chunks; may be null.
  const std::atomic<bool>* cancelled = nullptr;
  // Called after each chunk, on the caller's thread; may be empty. A GPU may
  // still compute it.
  std::function<void()> on_chunk;
};

// A step made again, once for each lane: see Model::StepMasked.
struct MaskedLanes {
  int64_t token = 0;  // what the step fed
  std::span<const at::Tensor> visible;
};

// One sequence's part in a step.
struct StepInput {
  Sequence* sequence = nullptr;
  int64_t token = 0;
  bool rows = true;  // the step's attention is wanted
  // Lanes of the sequence's step before this one, or none: what StepMasked
  // would have given before this step, and on the CPU from the same reading of
  // the weights.
  MaskedLanes lanes = {};
};

// What every implementation checks. InvalidArgument names the token and the
// vocabulary, or the length and the context window.
absl::Status CheckTokens(std::span<const int64_t> tokens,
                         const ModelInfo& info);
absl::Status CheckCapacity(int64_t capacity, const ModelInfo& info);
// Of a masked step of a sequence of `length` positions: names what is wrong, of
// a mask its lane and both shapes.
absl::Status CheckLanes(std::span<const at::Tensor> visible, int64_t length,
                        const ModelInfo& info);

class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelInfo& info() const = 0;

  // `observer_bytes`: what the caller will hold at most of what it sees of the
  // text; there must be room for it too. InvalidArgument: above the context
  // window. ResourceExhausted: no memory.
  virtual absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(
      int64_t capacity, int64_t observer_bytes) = 0;
  absl::StatusOr<std::unique_ptr<Sequence>> NewSequence(int64_t capacity) {
    return NewSequence(capacity, 0);
  }

  // Fills an empty sequence with all prompt tokens but the last (none is
  // allowed: P = 1). InvalidArgument: a token outside the vocabulary, more
  // tokens than fit, or a sequence that is not empty. Cancelled: as asked.
  virtual absl::StatusOr<PrefillObservation> Prefill(
      Sequence& sequence, std::span<const int64_t> tokens,
      const PrefillOptions& options) = 0;

  // Feeds one token to each of the sequences, which may differ in length; the
  // observations stand in the order of the inputs. Lanes change no bit of what
  // a step yields beside them. InvalidArgument: a token outside the vocabulary,
  // a full sequence, or lanes that StepMasked would refuse.
  virtual absl::StatusOr<std::vector<StepObservation>> Step(
      std::span<const StepInput> inputs) = 0;

  // Computes the last step of `sequence`, which fed `token`, again: once for
  // each lane, with what its query sees of the past limited. visible[i] is
  // [R, N − 1], uint8, 0 where lane i does not see a position before its own
  // (which it always sees); R = 1 (the same everywhere), layers, or layers ×
  // kv_heads.
  // A lane has a key and a value of its own for its own position; one reading
  // of the weights serves all lanes. Returns logits [lanes, vocabulary],
  // float32, raw; the sequence stays as it is, bit for bit. InvalidArgument: a
  // token outside the vocabulary, an empty sequence, no lane, or a mask of
  // another shape.
  virtual absl::StatusOr<at::Tensor> StepMasked(
      const Sequence& sequence, int64_t token,
      std::span<const at::Tensor> visible) = 0;

  // Whether the device still computes, asked after a call that failed: an error
  // of the device itself spoils it for the whole process. Internal: it does
  // not, and why.
  virtual absl::Status CheckDevice() = 0;

  // At any time, also beside other calls.
  virtual DeviceMemory MemoryInUse() const { return {}; }
};

}  // namespace kvrecall
