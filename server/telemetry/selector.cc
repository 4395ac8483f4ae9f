#include "server/telemetry/selector.h"

#include "server/telemetry/selector_aten.h"
#include "server/telemetry/selector_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/telemetry/selector_cuda.h"
#endif

namespace kvrecall {

std::vector<at::Tensor> FormSets(std::span<const SetJob> jobs) {
  if (jobs.empty()) return {};
  const at::Device device = jobs[0].weights.device();
  if (device.is_cpu()) return FormSetsOnCpu(jobs);
#ifdef KVRECALL_WITH_CUDA
  if (device.is_cuda()) return FormSetsOnCuda(jobs);
#endif
  return FormSetsWithAten(jobs);
}

}  // namespace kvrecall
