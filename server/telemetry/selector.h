#pragma once

// The one selector: which positions a policy keeps, given its scores. Higher
// score first, then lower position, on every device; so sets are
// deterministic. One ranking serves all budgets. Stateless.

#include "ATen/core/Tensor.h"

namespace kvrecall {

// `scores` [rows, N] of any real dtype, without NaN → [rows, N], int64: the
// place of each position in its row's order, 0 for the first. The set of size
// K is where the rank is below K.
at::Tensor RankPositions(const at::Tensor& scores);

}  // namespace kvrecall
