#include "server/telemetry/selector.h"

#include "server/telemetry/selector_aten.h"
#include "server/telemetry/selector_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/telemetry/selector_cuda.h"
#endif

namespace kvrecall {

size_t WaitsFor(std::span<const SetJob> jobs, size_t job) {
  const at::Tensor& other = jobs[job].other;
  for (size_t i = 0; other.defined() && i < job; ++i)
    if (jobs[i].held.defined() && jobs[i].held.is_same(other)) return i;
  return job;
}

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
