#include "server/engine/compat.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <string_view>

#include "ATen/Context.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "c10/util/Exception.h"

#include "torch/version.h"
#ifdef KVRECALL_WITH_CUDA
#include <cmath>
#include <tuple>

#include "ATen/ops/_flash_attention_forward.h"
#include "c10/cuda/CUDACachingAllocator.h"
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAGuard.h"
#include "c10/cuda/CUDAStream.h"
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <library_types.h>
#endif

namespace kvrecall {
namespace {

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

#ifdef KVRECALL_WITH_CUDA
// "13.0" of 13000, as CUDA numbers its versions.
std::string CudaVersion(int number) {
  return absl::StrCat(number / 1000, ".", number % 1000 / 10);
}

struct MemoryFigures {
  int64_t free = 0;  // of the GPU's, for whoever asks
  DeviceMemory memory;
};

MemoryFigures LookAtMemory(at::Device device) {
  c10::cuda::CUDAGuard guard(device);
  size_t free = 0, total = 0;
  C10_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
  constexpr size_t kAll = 0;
  return {static_cast<int64_t>(free),
          {stats.allocated_bytes[kAll].current,
           stats.reserved_bytes[kAll].current, static_cast<int64_t>(total)}};
}

// The version of the cuBLAS that libtorch has loaded. It is asked by name, so
// that building needs neither its headers nor the library; empty where libtorch
// has it inside.
std::string CublasVersion() {
  using GetProperty = int (*)(libraryPropertyType, int*);
  const auto get =
      reinterpret_cast<GetProperty>(dlsym(RTLD_DEFAULT, "cublasGetProperty"));
  int major = 0, minor = 0, patch = 0;
  if (get == nullptr || get(MAJOR_VERSION, &major) != 0 ||
      get(MINOR_VERSION, &minor) != 0 || get(PATCH_LEVEL, &patch) != 0)
    return "";
  return absl::StrCat(major, ".", minor, ".", patch);
}
#endif

}  // namespace

std::string LibtorchVersion() { return TORCH_VERSION; }

bool CudaAvailable() {
#ifdef KVRECALL_WITH_CUDA
  return at::hasCUDA();
#else
  return false;
#endif
}

std::string DeviceName(at::Device device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) {
    cudaDeviceProp properties;
    C10_CUDA_CHECK(cudaGetDeviceProperties(
        &properties, std::max(0, static_cast<int>(device.index()))));
    return properties.name;
  }
#endif
  return device.is_cpu() ? "cpu" : device.str();
}

void ForbidReducedPrecision() {
#ifdef KVRECALL_WITH_CUDA
  at::Context& context = at::globalContext();
  context.setAllowTF32CuBLAS(false);
  context.setAllowBF16ReductionCuBLAS(false);
#endif
}

std::string DeviceKernelsVersion(at::Device device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) {
    cudaDeviceProp properties;
    C10_CUDA_CHECK(cudaGetDeviceProperties(
        &properties, std::max(0, static_cast<int>(device.index()))));
    int runtime = 0, driver = 0;
    C10_CUDA_CHECK(cudaRuntimeGetVersion(&runtime));
    C10_CUDA_CHECK(cudaDriverGetVersion(&driver));
    std::string text = absl::StrCat(
        properties.name, " (", properties.major, ".", properties.minor,
        "), CUDA ", CudaVersion(runtime), ", driver ", CudaVersion(driver));
    const std::string cublas = CublasVersion();
    if (!cublas.empty()) absl::StrAppend(&text, ", cuBLAS ", cublas);
    return text;
  }
#endif
  return device.str();
}

int64_t FreeDeviceMemory(at::Device device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) {
    const auto [free, memory] = LookAtMemory(device);
    return free + memory.reserved - memory.allocated;
  }
#endif
  (void)device;
  return std::numeric_limits<int64_t>::max();
}

DeviceMemory MemoryOf(at::Device device) {
  DeviceMemory memory;
#ifdef KVRECALL_WITH_CUDA
  // Who looks on must not fail where the device has.
  if (device.is_cuda()) {
    CatchTorch([&] {
      memory = LookAtMemory(device).memory;
      return absl::OkStatus();
    }).IgnoreError();
  }
#endif
  (void)device;
  return memory;
}

void SynchronizeDevice(at::Device device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda())
    c10::cuda::getCurrentCUDAStream(device.index()).synchronize();
#else
  (void)device;
#endif
}

#ifdef KVRECALL_WITH_CUDA
AttentionResult FlashAttention(const at::Tensor& queries,
                               const at::Tensor& keys,
                               const at::Tensor& values) {
  // FlashAttention 2, which libtorch calls since 2.1, aligns its causal mask
  // to the bottom right; scaled_dot_product_attention, whose documented mask
  // is the top left one, refuses it for unequal lengths, and so does not stand
  // in between here. libtorch's own CausalBias(LOWER_RIGHT) relies on the same.
  // The arguments up to `scale` are alike in all versions from 2.4 on; those
  // behind it, and all results behind the second, are not.
  const auto result = at::_flash_attention_forward(
      queries.unsqueeze(0),                 // [1, Tq, query_heads, head_dim]
      keys.transpose(0, 1).unsqueeze(0),    // [1, N, kv_heads, head_dim]
      values.transpose(0, 1).unsqueeze(0),  // [1, N, kv_heads, head_dim]
      /*cum_seq_q=*/{}, /*cum_seq_k=*/{}, queries.size(0), keys.size(1),
      /*dropout_p=*/0.0, /*is_causal=*/true, /*return_debug_mask=*/false,
      /*scale=*/1.0 / std::sqrt(static_cast<double>(queries.size(2))));
  return {std::get<0>(result).squeeze(0),
          std::get<1>(result).squeeze(0).contiguous()};
}
#endif

absl::Status StatusFromTorchException() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("out of memory");
  } catch (const c10::Error& e) {
    const std::string line = FirstLine(e.what_without_backtrace());
    // libtorch 1.13 has no type for a failed CPU allocation; its text is the
    // only mark. On CUDA c10::OutOfMemoryError derives from c10::Error and
    // says "out of memory" too.
    if (absl::string_view(line).find("t allocate memory") !=
            absl::string_view::npos ||
        absl::string_view(line).find("out of memory") !=
            absl::string_view::npos)
      return absl::ResourceExhaustedError(line);
    return absl::InternalError(absl::StrCat("libtorch: ", line));
  } catch (const std::exception& e) {
    return absl::InternalError(FirstLine(e.what()));
  }
}

}  // namespace kvrecall
