#pragma once

// What an entropy is made of, of logits on CUDA, in two launches.

#include "ATen/core/Tensor.h"

namespace kvrecall {

// Of each row of `logits` [rows, vocabulary], float32, last dimension packed →
// [rows, 6], float64: Σ exp(z − largest), Σ exp(z − largest) · (z − largest),
// the largest and the second largest (equal where two are), 1 if all are
// finite else 0, and the lowest id of the largest. Where one is not finite, the
// other figures mean nothing. Runs on the device's current stream; the same
// input gives the same bits. Throws c10::Error where memory runs out or a shape
// is wrong.
at::Tensor LogitSumsCuda(const at::Tensor& logits);

}  // namespace kvrecall
