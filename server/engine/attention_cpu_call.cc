#include "server/engine/attention_cpu_call.h"

#include <cmath>
#include <cstring>
#include <type_traits>

#include "c10/util/BFloat16.h"

namespace kvrecall {

using cpu::AttentionTile;
using cpu::Bfloat16;
using cpu::kBlock;
using cpu::kLanes;

namespace {

inline void StoreNumber(float value, float* out) { *out = value; }
inline void StoreNumber(float value, Bfloat16* out) {
  out->bits = c10::BFloat16(value).x;
}

}  // namespace

template <typename T>
void Workspace<T>::Fill(AttentionTile<T>& tile, int rows, int64_t blocks) {
  constexpr int kNumbers = cpu::Unit<T>::kNumbers;
  // Whole vectors over rows may be read.
  const int64_t padded = RoundUp(rows, kLanes);
  tile.rows = rows;
  tile.queries = queries.Reserve(padded * tile.head_units);
  tile.limits = limits.Reserve(padded);
  tile.output = output.Reserve(padded * tile.head_lanes);
  tile.exponent = exponent.Reserve(padded);
  tile.sum = sum.Reserve(padded);
  tile.lane_sums = lane_sums.Reserve(padded * kLanes);
  tile.scratch = scratch.Reserve(int64_t{rows} * kBlock / kNumbers);
  tile.weights = weights.Reserve(rows * kBlock * (tile.keep ? blocks : 1));
  tile.block_exponent = block_exponent.Reserve(rows * blocks + kLanes);
}

template <typename T>
AttentionTile<T> CpuCall<T>::StartTile(int64_t head) const {
  AttentionTile<T> tile;
  tile.head_units = static_cast<int>(layout.head_units());
  tile.head_lanes = static_cast<int>(layout.head_lanes());
  tile.scale = static_cast<float>(
      kLog2E / std::sqrt(static_cast<double>(layout.shape().head_dim)));
  tile.keys = layout.KeyUnits(layer, head);
  tile.values = layout.ValueUnits(layer, head);
  return tile;
}

template <typename T>
void CpuCall<T>::LoadQueries(int64_t head, int64_t first, int64_t count,
                             const AttentionTile<T>& tile) const {
  using U = typename cpu::Unit<T>::Type;
  const int64_t dim = layout.shape().head_dim;
  const int64_t row_numbers = layout.head_units() * cpu::Unit<T>::kNumbers;
  T* row = reinterpret_cast<T*>(const_cast<U*>(tile.queries));
  int64_t* limit = const_cast<int64_t*>(tile.limits);
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t h = 0; h < per_group; ++h) {
      std::memcpy(row, queries.At(i, head * per_group + h),
                  static_cast<size_t>(dim) * sizeof(T));
      for (int64_t d = dim; d < row_numbers; ++d) row[d] = T{};
      row += row_numbers;
      *limit++ = positions - tq + i + 1;
    }
}

template <typename T>
void CpuCall<T>::Run(const AttentionTile<T>& tile) const {
  if constexpr (std::is_same_v<T, Bfloat16>)
    kernels.attend_bfloat16(tile);
  else
    kernels.attend_float(tile);
}

template <typename T>
void CpuCall<T>::StoreOutput(int64_t head, int64_t first, int64_t count,
                             const float* rows, const float* exponent,
                             const float* sum) const {
  const int64_t dim = layout.shape().head_dim;
  int64_t row = 0;
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t h = 0; h < per_group; ++h, ++row) {
      const int64_t query_head = head * per_group + h;
      T* out = output + (i * query_heads + query_head) * dim;
      const float factor = 1 / sum[row];
      for (int64_t d = 0; d < dim; ++d)
        StoreNumber(rows[row * layout.head_lanes() + d] * factor, out + d);
      if (log_sum_exp == nullptr) continue;
      log_sum_exp[query_head * tq + i] = static_cast<float>(
          (exponent[row] + std::log2(static_cast<double>(sum[row]))) / kLog2E);
    }
}

template struct Workspace<float>;
template struct Workspace<Bfloat16>;
template struct CpuCall<float>;
template struct CpuCall<Bfloat16>;

}  // namespace kvrecall
