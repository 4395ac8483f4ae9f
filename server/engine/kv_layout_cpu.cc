#include "server/engine/kv_layout_cpu.h"

#include <algorithm>

#include "ATen/ATen.h"

#include "server/engine/cpu_workers.h"
#include "server/huge_pages.h"

namespace kvrecall {

using cpu::Bfloat16;
using cpu::kBlock;
using cpu::kLanes;

template <typename T>
CpuKvLayout<T>::CpuKvLayout(const KvShape& shape,
                            const at::TensorOptions& options)
    : shape_(shape),
      options_(options),
      positions_(RoundUp(std::max<int64_t>(shape.capacity, 1), kBlock)),
      head_units_((shape.head_dim + kNumbers - 1) / kNumbers),
      head_lanes_(RoundUp(shape.head_dim, kLanes)),
      key_units_(positions_ * head_units_),
      value_units_(positions_ / kNumbers * head_lanes_),
      // Zeros: what a block reads behind the last position must be finite,
      // and padding must add nothing.
      keys_(ZerosOnHugePages(
          {shape.layers * shape.kv_heads * key_units_ * kNumbers}, options)),
      values_(ZerosOnHugePages(
          {shape.layers * shape.kv_heads * value_units_ * kNumbers}, options)) {
}

template <typename T>
void CpuKvLayout<T>::StoreKey(const T* key, int64_t position, U* units) const {
  T* lane =
      reinterpret_cast<T*>(units) +
      (position / kLanes * head_units_ * kLanes + position % kLanes) * kNumbers;
  for (int64_t d = 0; d < shape_.head_dim; ++d)
    lane[d / kNumbers * kLanes * kNumbers + d % kNumbers] = key[d];
}

template <typename T>
void CpuKvLayout<T>::StoreValue(const T* value, int64_t position,
                                U* units) const {
  T* row = reinterpret_cast<T*>(units) +
           position / kNumbers * head_lanes_ * kNumbers + position % kNumbers;
  for (int64_t d = 0; d < shape_.head_dim; ++d) row[d * kNumbers] = value[d];
}

template <typename T>
void CpuKvLayout<T>::Write(int64_t layer, int64_t position,
                           const at::Tensor& keys, const at::Tensor& values) {
  const int64_t count = keys.size(0);
  const at::Tensor key_rows = WithPackedNumbers(keys);
  const at::Tensor value_rows = WithPackedNumbers(values);
  const T* k = reinterpret_cast<const T*>(key_rows.data_ptr());
  const T* v = reinterpret_cast<const T*>(value_rows.data_ptr());
  const auto write_head = [&](int64_t head) {
    for (int64_t i = 0; i < count; ++i) {
      StoreKey(k + i * key_rows.stride(0) + head * key_rows.stride(1),
               position + i, MutableKeys(layer, head));
      StoreValue(v + i * value_rows.stride(0) + head * value_rows.stride(1),
                 position + i, MutableValues(layer, head));
    }
  };
  if (count == 1) {
    for (int64_t head = 0; head < shape_.kv_heads; ++head) write_head(head);
    return;
  }
  RunWorkers(shape_.kv_heads, write_head);
}

template <typename T>
at::Tensor CpuKvLayout<T>::Keys(int64_t layer, int64_t first,
                                int64_t count) const {
  const int64_t dim = shape_.head_dim;
  at::Tensor keys = at::empty({shape_.kv_heads, count, dim}, options_);
  RunWorkers(shape_.kv_heads, [&](int64_t head) {
    const T* in = reinterpret_cast<const T*>(KeyUnits(layer, head));
    T* out = reinterpret_cast<T*>(keys.data_ptr()) + head * count * dim;
    for (int64_t p = first; p < first + count; ++p)
      for (int64_t d = 0; d < dim; ++d)
        *out++ = in[((p / kLanes * head_units_ + d / kNumbers) * kLanes +
                     p % kLanes) *
                        kNumbers +
                    d % kNumbers];
  });
  return keys;
}

template <typename T>
at::Tensor CpuKvLayout<T>::Values(int64_t layer, int64_t first,
                                  int64_t count) const {
  const int64_t dim = shape_.head_dim;
  at::Tensor values = at::empty({shape_.kv_heads, count, dim}, options_);
  RunWorkers(shape_.kv_heads, [&](int64_t head) {
    const T* in = reinterpret_cast<const T*>(ValueUnits(layer, head));
    T* out = reinterpret_cast<T*>(values.data_ptr()) + head * count * dim;
    for (int64_t p = first; p < first + count; ++p)
      for (int64_t d = 0; d < dim; ++d)
        *out++ = in[(p / kNumbers * head_lanes_ + d) * kNumbers + p % kNumbers];
  });
  return values;
}

template class CpuKvLayout<float>;
template class CpuKvLayout<Bfloat16>;

}  // namespace kvrecall
