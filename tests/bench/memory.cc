#include "tests/bench/memory.h"

#include <fstream>
#include <string>

#ifdef KVRECALL_WITH_CUDA
#include "c10/cuda/CUDACachingAllocator.h"
#endif

namespace kvrecall::bench {
namespace {

int64_t StatusKilobytes(const std::string& field) {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;)
    if (word == field) {
      int64_t kilobytes = 0;
      in >> kilobytes;
      return kilobytes;
    }
  return 0;
}

#ifdef KVRECALL_WITH_CUDA
// The statistic of all pools together. Its types moved between the versions of
// libtorch.
auto Allocated(const at::Device& device) {
  constexpr size_t kAggregate = 0;
  return c10::cuda::CUDACachingAllocator::getDeviceStats(device.index())
      .allocated_bytes[kAggregate];
}
#endif

}  // namespace

int64_t CurrentMemory(const at::Device& device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) return Allocated(device).current;
#endif
  (void)device;
  return StatusKilobytes("VmRSS:") * 1024;
}

int64_t PeakMemory(const at::Device& device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) return Allocated(device).peak;
#endif
  (void)device;
  return StatusKilobytes("VmHWM:") * 1024;
}

void ResetPeakMemory(const at::Device& device) {
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) {
    c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
    return;
  }
#endif
  (void)device;
  std::ofstream("/proc/self/clear_refs") << "5";
}

}  // namespace kvrecall::bench
