#include "server/engine/compat.h"

#include <exception>
#include <new>
#include <string_view>

#include "ATen/Context.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "c10/util/Exception.h"

#include "torch/version.h"
#ifdef KVRECALL_WITH_CUDA
#include "ATen/cuda/CUDAContext.h"
#endif

namespace kvrecall {
namespace {

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, text.find('\n')));
}

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
  if (device.is_cuda())
    return at::cuda::getDeviceProperties(device.index())->name;
#endif
  return device.is_cpu() ? "cpu" : device.str();
}

void SynchronizeDevice(at::Device device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda())
    at::cuda::getCurrentCUDAStream(device.index()).synchronize();
#else
  (void)device;
#endif
}

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
