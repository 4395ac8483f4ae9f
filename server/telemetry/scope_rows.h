#pragma once

// From the engine's group rows to the rows of a scope, and the attention
// entropy of layers. Stateless.

#include <cstdint>
#include <span>
#include <vector>

#include "ATen/core/Tensor.h"

#include "common/record/scope.h"

namespace kvrecall {

// How many rows a scope has.
int64_t ScopeRowCount(Scope scope, int64_t layers, int64_t kv_heads);

// `group_rows` [layers, kv_heads, N] of any float dtype → [rows, N] of the
// same: the mean over what the scope puts together. Groups have equally many
// query heads, so a mean over groups is the mean over query heads. Linear, so
// it serves rows and sums of rows alike.
at::Tensor RowsToScope(const at::Tensor& group_rows, Scope scope);

// The same for several scopes, in their order: on the CPU in one pass.
std::vector<at::Tensor> RowsToScopes(const at::Tensor& group_rows,
                                     std::span<const Scope> scopes);

struct RowsAndSums {
  at::Tensor rows;  // [R, N], float32
  at::Tensor sums;  // [R, ≥ N], float64
};

// sums[:, :N] += rows, for pairs of one N.
void AddRows(std::span<const RowsAndSums> all);

struct AttentionEntropy {
  double mean = 0;                // nats, over layers
  double standard_deviation = 0;  // nats, population, over layers
};

// Of each layer's head-mean row: `rows` [layers, N], float32, those of scope
// layer → [layers], float64, nats, on the rows' device. Waits for nothing.
at::Tensor LayerEntropies(const at::Tensor& rows);

// Of such entropies, on the CPU.
AttentionEntropy MeanEntropy(const at::Tensor& entropies);

}  // namespace kvrecall
