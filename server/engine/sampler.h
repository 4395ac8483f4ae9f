#pragma once

// Choosing the next token from a step's logits.

#include <cstdint>

#include "ATen/core/Tensor.h"

namespace kvrecall {

// The arg max of logits [vocabulary], the lowest id on a tie.
int64_t GreedyToken(const at::Tensor& logits);

}  // namespace kvrecall
