#pragma once

// What one step's logits say: entropy and the cheaper signals of uncertainty.
// Stateless.

#include <cstdint>
#include <vector>

#include "ATen/core/Tensor.h"
#include "absl/status/statusor.h"

namespace kvrecall {

// Over p = softmax(z), z the raw logits: before temperature or any penalty.
struct TokenDistribution {
  double entropy = 0;         // −Σ p ln p in nats, 0·ln 0 = 0; in [0, ln V]
  double p_max = 0;           // largest probability
  double margin = 0;          // p_max − the second largest; p_max where V = 1
  double log_normalizer = 0;  // ln Σ exp(z): ln p(y) = z_y − log_normalizer
  int64_t best = 0;           // the arg max, the lowest id on a tie
  float best_logit = 0;       // z of it
};

// `logits` [vocabulary], float32, any device. DataLoss: a logit is NaN or
// infinite.
absl::StatusOr<TokenDistribution> DescribeLogits(const at::Tensor& logits);

// The same of each row of `logits` [rows, vocabulary].
absl::StatusOr<std::vector<TokenDistribution>> DescribeLogitRows(
    const at::Tensor& logits);

// ln p(token), where `distribution` describes `logits`. They are only looked at
// where the token is not the best, which on a GPU is one more wait for it.
double LogProbability(const at::Tensor& logits,
                      const TokenDistribution& distribution, int64_t token);

}  // namespace kvrecall
