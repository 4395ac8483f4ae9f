#pragma once

// What this machine can do at best, measured here and now: how fast memory is
// read, and how fast matrices are multiplied in a model's own shapes by
// whichever linked library is the fastest.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"

#include "server/engine/model.h"

namespace kvrecall::bench {

// Bytes per second that all threads together read. On the CPU from blocks of
// the sizes of the model's matrices, up to 1 GiB of them, which lie in memory
// as the model's do: how fast memory is read depends on its pages. On CUDA: a
// sum over a buffer of 4 GiB.
class ReadBandwidth {
 public:
  ReadBandwidth(at::Device device, const ModelInfo& info,
                int64_t intermediate_size);
  double Measure() const;  // once over the blocks

 private:
  double Read(int64_t ahead) const;

  std::vector<at::Tensor> blocks_;
  int64_t ahead_ = 0;  // how far to fetch ahead
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
