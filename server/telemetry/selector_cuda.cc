#include "server/telemetry/selector_cuda.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "server/telemetry/selection_cuda.h"
#include "server/telemetry/selector_aten.h"

namespace kvrecall {
namespace {

// One window of last positions and one size for all rows; what differs by
// budget or row, and sets that go on from held ones, libtorch's operators do.
bool IsPlain(const SetJob& job) {
  return job.had.empty() && job.scores.last.size() == 1 &&
         std::ssize(job.ks) == job.budgets;
}

at::Tensor SelectPlain(const SetJob& job) {
  const int64_t n = job.weights.size(1);
  const int64_t window = std::min(job.scores.last[0], n);
  const at::Tensor masks =
      at::zeros(job.weights.sizes(), job.weights.options().dtype(at::kShort));
  std::vector<int64_t> wanted;
  std::vector<uint16_t> bits;
  for (int b = 0; b < job.budgets; ++b) {
    const int64_t last = std::min(window, job.ks[b]);
    masks.narrow(1, n - last, last).add_(MaskBit(b));
    if (job.ks[b] == last) continue;
    wanted.push_back(job.ks[b] - last);
    bits.push_back(static_cast<uint16_t>(1u << b));
  }
  if (wanted.empty()) return masks;
  const at::Tensor scores =
      job.scores.values.narrow(1, 0, n - window).contiguous();
  MarkMembersCuda(scores, SelectTopCuda(scores, wanted), bits, masks);
  return masks;
}

}  // namespace

std::vector<at::Tensor> FormSetsOnCuda(std::span<const SetJob> jobs) {
  std::vector<at::Tensor> figures;
  for (const SetJob& job : jobs) {
    const at::Tensor masks =
        IsPlain(job) ? SelectPlain(job) : SelectWithAten(job);
    const at::Tensor fetched = TakeHeld(job, masks);
    figures.push_back(WeighMembersCuda(job.weights.contiguous(), masks,
                                       job.other, fetched, job.budgets));
  }
  return figures;
}

}  // namespace kvrecall
