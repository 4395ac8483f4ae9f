#pragma once

// What this machine can do at best, measured here and now: how fast memory is
// read, and how fast matrices are multiplied in a model's own shapes by
// whichever linked library is the fastest.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

#include "server/engine/model.h"

namespace kvrecall::bench {

// Bytes per second that all threads together read from a buffer far larger
// than the caches. On CUDA: a device-to-device sum over such a buffer.
class ReadBandwidth {
 public:
  explicit ReadBandwidth(at::Device device);
  double Measure() const;  // once over the buffer

 private:
  at::Tensor buffer_;
};

// One kind of product of a prefill.
struct ProductRate {
  const char* name;
  double operations;  // of the whole prefill
  double rate;        // operations per second, the best of the libraries
};

// `intermediate_size` is the feed-forward width. `options`: the model's dtype
// and device.
std::vector<ProductRate> ProductRates(const ModelInfo& info,
                                      int64_t intermediate_size,
                                      int64_t prompt_tokens,
                                      const at::TensorOptions& options);

}  // namespace kvrecall::bench
