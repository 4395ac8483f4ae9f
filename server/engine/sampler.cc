#include "server/engine/sampler.h"

#include "ATen/ATen.h"

namespace kvrecall {

int64_t GreedyToken(const at::Tensor& logits) {
  if (logits.device().is_cpu()) {
    // The first of the largest; all compare false with NaN, so 0 is safe.
    const at::Tensor packed = logits.contiguous();
    const float* z = packed.data_ptr<float>();
    const float largest = packed.max().item<float>();
    int64_t best = 0;
    while (best + 1 < packed.size(0) && z[best] != largest) ++best;
    return best;
  }
  // at::argmax leaves open which of several equal maxima it returns. One wait
  // for the device.
  const int64_t last = logits.size(0) - 1;
  return at::arange(last + 1, logits.options().dtype(at::kLong))
      .masked_fill_(logits != logits.max(), last)
      .min()
      .item<int64_t>();
}

}  // namespace kvrecall
