#include "server/telemetry/selector.h"

#include "server/telemetry/selector_aten.h"
#include "server/telemetry/selector_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/telemetry/selector_cuda.h"
#endif

namespace kvrecall {

namespace {

// On devices that run all rows of all jobs at once: those that others are
// compared with first.
template <typename Form>
std::vector<at::Tensor> FormInRounds(std::span<const SetJob> jobs, Form form) {
  std::vector<SetJob> rounds[2];
  std::vector<size_t> places[2];
  for (size_t i = 0; i < jobs.size(); ++i) {
    const int round = WaitsFor(jobs, i) == i ? 0 : 1;
    rounds[round].push_back(jobs[i]);
    places[round].push_back(i);
  }
  std::vector<at::Tensor> figures(jobs.size());
  for (const int round : {0, 1}) {
    if (rounds[round].empty()) continue;
    const std::vector<at::Tensor> formed = form(rounds[round]);
    for (size_t i = 0; i < formed.size(); ++i)
      figures[places[round][i]] = formed[i];
  }
  return figures;
}

}  // namespace

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
  if (device.is_cuda())
    return FormInRounds(jobs, [](std::span<const SetJob> round) {
      return FormSetsOnCuda(round);
    });
#endif
  return FormInRounds(jobs, [](std::span<const SetJob> round) {
    return FormSetsWithAten(round);
  });
}

}  // namespace kvrecall
