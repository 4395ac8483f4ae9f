#pragma once

// The entropy gap: what a step's token distribution becomes where attention is
// limited. Stateless.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

#include "common/record/record.h"
#include "server/telemetry/distribution.h"

namespace kvrecall {

// One record for each row of `lanes` [lanes, vocabulary] beside the oracle's
// `logits` [vocabulary], both float32 and raw; `distribution` describes the
// oracle's, `token` is y_t. DataLoss: a lane's logit is NaN or infinite.
absl::StatusOr<std::vector<GapRecord>> CompareGaps(
    const at::Tensor& logits, const TokenDistribution& distribution,
    const at::Tensor& lanes, int64_t token);

}  // namespace kvrecall
