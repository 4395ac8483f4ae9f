#include "server/telemetry/key_statistics.h"

#include <algorithm>

#include "ATen/ATen.h"

namespace kvrecall {
namespace {

// Numbers of keys that are widened to float32 at a time: 8 MiB.
constexpr int64_t kNumbers = int64_t{2} << 20;
constexpr double kLeastNorm = 1e-30;

}  // namespace

KeyStatistics::KeyStatistics(const Sequence& sequence, int64_t capacity)
    : sequence_(sequence) {
  const at::Tensor none = sequence.Keys(0, 0);
  norms_ = at::zeros({none.size(0), none.size(1), capacity}, none.options());
  sums_ = at::zeros({none.size(0), none.size(1), none.size(3)},
                    none.options().dtype(at::kDouble));
  TakeIn(sequence.length());
}

void KeyStatistics::TakeIn(int64_t length) {
  const int64_t chunk = std::max<int64_t>(kNumbers / sums_.numel(), 1);
  for (int64_t count; known_ < length; known_ += count) {
    count = std::min(chunk, length - known_);
    const at::Tensor keys = sequence_.Keys(known_, count);
    const at::Tensor norms = keys.square().sum(-1).sqrt();
    norms_.narrow(2, known_, count).copy_(norms);
    sums_ += (keys / norms.clamp_min(kLeastNorm).unsqueeze(-1))
                 .sum(2, /*keepdim=*/false, at::kDouble);
  }
}

at::Tensor KeyStatistics::Similarities() const {
  const at::Tensor direction =
      sums_ /
      sums_.square().sum(-1, /*keepdim=*/true).sqrt().clamp_min(kLeastNorm);
  return sequence_.KeyProducts(direction.to(at::kFloat), known_) /
         norms().clamp_min(kLeastNorm);
}

}  // namespace kvrecall
