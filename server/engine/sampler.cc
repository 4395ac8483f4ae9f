#include "server/engine/sampler.h"

#include "ATen/ATen.h"

namespace kvrecall {

int64_t GreedyToken(const at::Tensor& logits) {
  // at::argmax leaves open which of several equal maxima it returns.
  return at::nonzero(logits == logits.max())[0].item<int64_t>();
}

}  // namespace kvrecall
