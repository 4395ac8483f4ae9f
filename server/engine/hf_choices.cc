#include "server/engine/hf_choices.h"

#include "absl/strings/str_cat.h"
#include "c10/core/ScalarType.h"

#include "common/base/status_macros.h"
#include "server/cpu/kernels.h"
#include "server/engine/compat.h"
#include "server/engine/control_groups.h"
#include "server/engine/linear.h"
#include "server/engine/memory.h"

namespace kvrecall {
namespace {

int64_t ChooseChunk(int64_t requested, at::Device device) {
  if (requested > 0) return requested;
  return device.is_cuda() ? 2048 : 512;
}

absl::StatusOr<at::Device> ChooseDevice(const std::string& text) {
  if (text == "cpu") return at::Device(at::kCPU);
  if (text == "auto")
    return CudaAvailable() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (text != "cuda")
    return absl::InvalidArgumentError(
        absl::StrCat("device '", text, "' is unknown; use auto, cpu or cuda"));
  if (!CudaAvailable())
    return absl::FailedPreconditionError(
        "device 'cuda' is not there: this libtorch sees no GPU; use "
        "--device cpu, or build against a libtorch with CUDA");
  return at::Device(at::kCUDA, 0);
}

absl::StatusOr<at::ScalarType> ChooseDtype(const std::string& text,
                                           at::Device device) {
  if (text == "float32") return at::kFloat;
  if (text == "bfloat16") return at::kBFloat16;
  if (text == "auto")
    return device.is_cuda() || cpu::BestKernels().bfloat16_products
               ? at::kBFloat16
               : at::kFloat;
  return absl::InvalidArgumentError(absl::StrCat(
      "dtype '", text, "' is unknown; use auto, float32 or bfloat16"));
}

absl::StatusOr<int64_t> ChooseContext(int64_t requested,
                                      const HfConfig& config) {
  const int64_t window = config.context_window;
  if (requested < 0 || requested > window)
    return absl::InvalidArgumentError(absl::StrCat("--max-context ", requested,
                                                   " is outside 1 … ", window,
                                                   ", the model's window"));
  const int64_t context = requested == 0 ? window : requested;
  const int64_t seen = config.attention_window;
  if (seen > 0 && seen < context)
    return absl::InvalidArgumentError(absl::StrCat(
        "config.json: 'sliding_window' is ", seen,
        ", less than the context of ", context,
        "; this engine computes full attention only: give --max-context ", seen,
        " or less, or a model whose sliding_window is null"));
  return context;
}

}  // namespace

absl::StatusOr<HfChoices> ChooseForHfModel(const HfConfig& config,
                                           const HfModelOptions& options) {
  if (options.prefill_chunk < 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "--prefill-chunk ", options.prefill_chunk, " must be at least 0"));
  RETURN_IF_ERROR(CheckCpuKernels());
  HfChoices choices;
  ASSIGN_OR_RETURN(choices.device, ChooseDevice(options.device));
  ASSIGN_OR_RETURN(choices.dtype, ChooseDtype(options.dtype, choices.device));
  ASSIGN_OR_RETURN(choices.context, ChooseContext(options.max_context, config));
  choices.threads = options.threads > 0 ? options.threads : UsableCpus();
  choices.prefill_chunk = ChooseChunk(options.prefill_chunk, choices.device);
  return choices;
}

ModelInfo DescribeHfModel(const HfConfig& config, const HfModelOptions& options,
                          const HfChoices& choices) {
  const at::Device device = choices.device;
  ModelInfo info;
  info.name = options.name;
  info.architecture = config.architecture;
  info.layers = config.layers;
  info.query_heads = config.query_heads;
  info.kv_heads = config.kv_heads;
  info.head_dim = config.head_dim;
  info.hidden_size = config.hidden_size;
  info.vocabulary = config.vocabulary;
  info.context_window = choices.context;
  info.eos_token_ids = config.eos_token_ids;
  info.dtype = choices.dtype == at::kFloat ? "float32" : "bfloat16";
  info.device = DeviceName(device);
  info.threads = choices.threads;
  info.libtorch = LibtorchVersion();
  info.kernels =
      device.is_cpu() ? CpuKernelsVersion() : DeviceKernelsVersion(device);
  info.prefill_chunk = choices.prefill_chunk;
  info.kv_bytes_per_token =
      2 * config.layers * config.kv_heads * config.head_dim *
      static_cast<int64_t>(c10::elementSize(choices.dtype));
  return info;
}

absl::Status FitContext(const HfModelOptions& options, const HfConfig& config,
                        int64_t free, ModelInfo& info) {
  const int64_t wanted = info.context_window;
  const bool asked_for = options.max_context > 0;
  info.context_limit =
      asked_for ? absl::StrCat("--max-context ", wanted)
                : absl::StrCat("the model's window of ", wanted, " positions");
  const int64_t fits =
      LargestContext(info, config.intermediate_size, wanted, free);
  if (fits == wanted) return absl::OkStatus();
  const absl::Status status = CheckMemory(
      info.context_limit, NeedOf(info, config.intermediate_size, wanted), free);
  if (asked_for || fits == 0)
    return absl::ResourceExhaustedError(
        absl::StrCat(status.message(), ", room for ", fits, " positions"));
  info.context_window = fits;
  info.context_limit = std::string(status.message());
  return absl::OkStatus();
}

}  // namespace kvrecall
