#include "server/telemetry/pyramidkv.h"

#include <numeric>

namespace kvrecall {

std::vector<int64_t> PyramidSizes(int64_t layers, int64_t k, int64_t window,
                                  int64_t prompt) {
  constexpr int64_t kBeta = 20;  // the paper's
  std::vector<int64_t> sizes(static_cast<size_t>(layers), k);
  // From K = P on the paper drops nothing.
  if (k <= window || layers == 1 || k >= prompt) return sizes;
  int64_t least = (k - window) / kBeta;
  int64_t most = 2 * (k - window) - least;
  if (most >= prompt - window) {
    most = prompt - window;
    least = 2 * (k - window) - most;
  }
  const int64_t fall = (most - least) / (layers - 1);
  for (int64_t l = 0; l < layers; ++l)
    sizes[static_cast<size_t>(l)] = most - l * fall + window;
  // What the rounded slope leaves too much is taken from the lowest layers in
  // turn.
  int64_t excess =
      std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) - layers * k;
  for (size_t l = 0; excess > 0; --excess) {
    --sizes[l];
    l = (l + 1) % sizes.size();
  }
  return sizes;
}

std::vector<int64_t> PyramidKvPolicy::Sizes(const StepView& view) const {
  const int64_t rows_per_layer = view.rows / view.layers;
  const size_t budgets = view.ks.size();
  std::vector<int64_t> sizes(static_cast<size_t>(view.rows) * budgets);
  for (size_t b = 0; b < budgets; ++b) {
    const std::vector<int64_t> of_layers =
        PyramidSizes(view.layers, view.ks[b], window_, view.prompt_tokens);
    for (int64_t r = 0; r < view.rows; ++r)
      sizes[static_cast<size_t>(r) * budgets + b] =
          of_layers[static_cast<size_t>(r / rows_per_layer)];
  }
  return sizes;
}

}  // namespace kvrecall
