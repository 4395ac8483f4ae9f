#pragma once

// A Hugging Face checkpoint of the Llama family (the architectures that
// hf_config.h names) in libtorch, on CPU or CUDA, in float32 or bfloat16. Owned
// and used by the engine thread; info() may be read from any thread.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "server/engine/hf_config.h"
#include "server/engine/model.h"

namespace kvrecall {

struct HfModelOptions {
  std::string name;             // what the operator calls it
  std::string dtype = "auto";   // "auto", "float32", "bfloat16"
  std::string device = "auto";  // "auto", "cpu", "cuda"
  int threads = 0;              // 0: UsableCpus()
  // 0: the model's window, or what memory has room for if that is less.
  int64_t max_context = 0;
  // Queries; 0: 512 on the CPU, 2048 on CUDA, which needs more to be busy.
  int64_t prefill_chunk = 0;
  // Bytes that are free beside the weights that are loaded already, asked when
  // the model is loaded and for each text; unset: FreeMemory of the device.
  std::function<int64_t()> free_memory;
};

// Loads config.json, generation_config.json and the safetensors weights of
// `directory`. On "auto", the device is CUDA where libtorch has it, and the
// dtype is bfloat16 on CUDA and where the CPU's kernels have products of such
// numbers (AVX512-BF16), else float32. NotFound, InvalidArgument: what is
// missing or wrong, and where. ResourceExhausted: a context was asked for that
// memory has no room for, or there is room for none. InvalidArgument, too,
// where KVRECALL_CPU_KERNELS asks for kernels that this processor does not run.
absl::StatusOr<std::unique_ptr<Model>> LoadHfModel(
    const std::string& directory, const HfModelOptions& options);

// What LoadHfModel would make of it, as far as can be told without reading a
// weight: the files' headers alone are read. Its errors are LoadHfModel's, and
// ResourceExhausted where the weights are more than is free. The digest is
// empty. `free_memory` is asked for the memory before the weights.
absl::StatusOr<ModelInfo> CheckHfModel(const std::string& directory,
                                       const HfModelOptions& options);

// A model of this shape with weights from a fixed seed: its text is noise, its
// speed and memory are those of any model of the shape. For measurements.
absl::StatusOr<std::unique_ptr<Model>> MakeRandomHfModel(
    HfConfig config, const HfModelOptions& options);

}  // namespace kvrecall
