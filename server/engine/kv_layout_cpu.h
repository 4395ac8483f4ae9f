#pragma once

// Keys and values of one sequence on the CPU, laid out as the kernels of
// cpu/kernels.h read them. With s the numbers of a unit of T (two bfloat16, one
// float), for each layer and head:
//
//   keys    [positions / 16, head_units, 16] units: a unit holds s numbers of
//           one key
//   values  [positions / s, head_lanes] units: a unit holds one number of s
//           neighbouring values
//
// Owned and used by one cache.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention.h"

namespace kvrecall {

// The same rows; the numbers of one stand side by side.
inline at::Tensor WithPackedNumbers(const at::Tensor& rows) {
  return rows.stride(-1) == 1 ? rows : rows.contiguous();
}

template <typename T>
class CpuKvLayout {
 public:
  using U = typename cpu::Unit<T>::Type;
  static constexpr int kNumbers = cpu::Unit<T>::kNumbers;

  CpuKvLayout(const KvShape& shape, const at::TensorOptions& options);

  const KvShape& shape() const { return shape_; }
  const at::TensorOptions& options() const { return options_; }
  int64_t head_units() const { return head_units_; }
  int64_t head_lanes() const { return head_lanes_; }
  // Capacity in whole blocks.
  int64_t positions() const { return positions_; }

  // As KvCache has them; Keys and Values copy.
  void Write(int64_t layer, int64_t position, const at::Tensor& keys,
             const at::Tensor& values);
  at::Tensor Keys(int64_t layer, int64_t first, int64_t count) const;
  at::Tensor Values(int64_t layer, int64_t first, int64_t count) const;

  // What the layer's head holds; readable up to positions(), finite
  // everywhere.
  const U* KeyUnits(int64_t layer, int64_t head) const {
    return MutableKeys(layer, head);
  }
  const U* ValueUnits(int64_t layer, int64_t head) const {
    return MutableValues(layer, head);
  }

  // Put one key or value [head_dim] at `position` of such units.
  void StoreKey(const T* key, int64_t position, U* units) const;
  void StoreValue(const T* value, int64_t position, U* units) const;

 private:
  U* MutableKeys(int64_t layer, int64_t head) const {
    return reinterpret_cast<U*>(keys_.data_ptr()) +
           (layer * shape_.kv_heads + head) * key_units_;
  }
  U* MutableValues(int64_t layer, int64_t head) const {
    return reinterpret_cast<U*>(values_.data_ptr()) +
           (layer * shape_.kv_heads + head) * value_units_;
  }

  const KvShape shape_;
  const at::TensorOptions options_;
  const int64_t positions_;
  const int64_t head_units_, head_lanes_;
  const int64_t key_units_, value_units_;  // of one layer and head
  const at::Tensor keys_, values_;
};

}  // namespace kvrecall
