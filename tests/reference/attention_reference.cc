#include "tests/reference/attention_reference.h"

#include <cmath>

namespace kvrecall {

ReferenceAttention AttendSlowly(const std::vector<float>& queries,
                                const std::vector<float>& keys,
                                const std::vector<float>& values, int64_t tq,
                                int64_t n, int64_t query_heads,
                                int64_t kv_heads, int64_t head_dim) {
  ReferenceAttention out;
  out.weights.assign(query_heads, std::vector<std::vector<double>>(
                                      tq, std::vector<double>(n)));
  out.output.assign(tq, std::vector<std::vector<double>>(
                            query_heads, std::vector<double>(head_dim)));
  for (int64_t h = 0; h < query_heads; ++h) {
    const int64_t g = h / (query_heads / kv_heads);
    for (int64_t i = 0; i < tq; ++i) {
      const float* q = &queries[(i * query_heads + h) * head_dim];
      std::vector<double>& row = out.weights[h][i];
      double total = 0;
      for (int64_t j = 0; j <= n - tq + i; ++j) {
        const float* k = &keys[(g * n + j) * head_dim];
        double score = 0;
        for (int64_t d = 0; d < head_dim; ++d)
          score += static_cast<double>(q[d]) * k[d];
        row[j] = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
        total += row[j];
      }
      for (int64_t j = 0; j <= n - tq + i; ++j) {
        row[j] /= total;
        const float* v = &values[(g * n + j) * head_dim];
        for (int64_t d = 0; d < head_dim; ++d)
          out.output[i][h][d] += row[j] * v[d];
      }
    }
  }
  return out;
}

}  // namespace kvrecall
