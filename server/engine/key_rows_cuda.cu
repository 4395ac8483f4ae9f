// Single rows of weights, products of keys, and storing keys and values.

#include <algorithm>
#include <cmath>

#include "ATen/ops/empty.h"

#include "server/engine/score_split.cuh"

namespace kvrecall {
namespace {

template <typename T>
struct RowArgs {
  const T* query;  // [kv_heads · per_group, head_dim]
  const T* keys;   // [kv_heads][n, head_dim]
  int64_t key_stride;
  const float* lse;  // [kv_heads · per_group], lse_stride apart
  int64_t lse_stride;
  float* row;  // [kv_heads][≥ n], row_stride apart
  int64_t row_stride;
  int per_group;
  int head_dim;
  int visible;  // keys that the query sees
  int n;
  float scale;
};

// Grid: splits, KV heads.
template <typename T, int kLanes, int kHeads>
__global__ void __launch_bounds__(kSplitThreads) StoreRow(const RowArgs<T> a) {
  __shared__ float scores[kHeads][kSplitKeys];
  const int first_key = static_cast<int>(blockIdx.x) * kSplitKeys;
  const int first_head = static_cast<int>(blockIdx.y) * a.per_group;
  ScoreSplit<T, kLanes, kHeads>(
      a.query + first_head * a.head_dim, a.keys + blockIdx.y * a.key_stride,
      first_key, a.visible, a.head_dim, a.per_group, a.scale * kLog2E, scores);
  const int key = first_key + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= kSplitKeys || key >= a.n) return;
  float sum = 0;
  if (key < a.visible)
    for (int h = 0; h < a.per_group; ++h)
      sum += Weight(scores[h][threadIdx.x] -
                    a.lse[(first_head + h) * a.lse_stride] * kLog2E);
  a.row[blockIdx.y * a.row_stride + key] =
      sum / static_cast<float>(a.per_group);
}

template <typename T>
struct KeyProductArgs {
  const float* directions;  // [layers, kv_heads, head_dim]
  const T* keys;            // [layers][kv_heads][n, head_dim]
  int64_t layer_stride, head_stride;
  float* products;  // [layers, kv_heads, n]
  int head_dim;
  int n;
};

// Grid: splits, KV heads, layers.
template <typename T, int kLanes>
__global__ void __launch_bounds__(kSplitThreads)
    MultiplyKeys(const KeyProductArgs<T> a) {
  __shared__ float products[1][kSplitKeys];
  const int64_t head =
      static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  const int first_key = static_cast<int>(blockIdx.x) * kSplitKeys;
  ScoreSplit<T, kLanes, 1>(
      a.directions + head * a.head_dim,
      a.keys + blockIdx.z * a.layer_stride + blockIdx.y * a.head_stride,
      first_key, a.n, a.head_dim, /*per_group=*/1, /*factor=*/1.0f, products);
  const int key = first_key + static_cast<int>(threadIdx.x);
  if (threadIdx.x < kSplitKeys && key < a.n)
    a.products[head * a.n + key] = products[0][threadIdx.x];
}

// Grid: positions, 2 (keys, values). Each thread copies 16 bytes.
__global__ void StoreSlot(const uint4* keys, const uint4* values,
                          int64_t key_stride, int64_t value_stride,
                          int64_t key_head_stride, int64_t value_head_stride,
                          uint4* slot, int64_t half_stride, int64_t head_stride,
                          int kv_heads, int parts) {
  const bool is_value = blockIdx.y == 1;
  const uint4* from = is_value ? values + blockIdx.x * value_stride
                               : keys + blockIdx.x * key_stride;
  const int64_t from_stride = is_value ? value_head_stride : key_head_stride;
  uint4* to = slot + blockIdx.y * half_stride +
              static_cast<int64_t>(blockIdx.x) * parts;
  for (int i = threadIdx.x; i < kv_heads * parts; i += blockDim.x)
    to[i / parts * head_stride + i % parts] =
        from[i / parts * from_stride + i % parts];
}

template <typename T>
void Row(const at::Tensor& queries, const at::Tensor& keys,
         const at::Tensor& log_sum_exp, int64_t query, at::Tensor row) {
  const int64_t tq = queries.size(0), head_dim = queries.size(2);
  const int64_t kv_heads = keys.size(0), n = keys.size(1);
  const int64_t per_group = queries.size(1) / kv_heads;
  RowArgs<T> a;
  a.query = queries.const_data_ptr<T>() + query * queries.stride(0);
  a.keys = keys.const_data_ptr<T>();
  a.key_stride = keys.stride(0);
  a.lse = log_sum_exp.const_data_ptr<float>() + query;
  a.lse_stride = tq;
  a.row = row.mutable_data_ptr<float>();
  a.row_stride = row.stride(0);
  a.per_group = static_cast<int>(per_group);
  a.head_dim = static_cast<int>(head_dim);
  a.visible = static_cast<int>(n - tq + query + 1);
  a.n = static_cast<int>(n);
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  ChooseShape(head_dim, per_group, [&]<int kLanes, int kHeads>() {
    Launch(StoreRow<T, kLanes, kHeads>, dim3(CeilDiv(n, kSplitKeys), kv_heads),
           dim3(kSplitThreads), 0, a);
  });
}

// True if rows of 16-byte parts can be read where `t` [T, kv_heads, head_dim]
// lies.
bool IsAligned(const at::Tensor& t, int64_t part) {
  return t.stride(2) == 1 && t.stride(1) % part == 0 &&
         t.stride(0) % part == 0 &&
         reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

template <typename T>
void Multiply(const at::Tensor& directions, const at::Tensor& keys,
              const at::Tensor& products) {
  KeyProductArgs<T> a;
  a.directions = directions.const_data_ptr<float>();
  a.keys = keys.const_data_ptr<T>();
  a.layer_stride = keys.stride(0);
  a.head_stride = keys.stride(1);
  a.products = products.mutable_data_ptr<float>();
  a.head_dim = static_cast<int>(keys.size(3));
  a.n = static_cast<int>(keys.size(2));
  ChooseShape(keys.size(3), /*per_group=*/1, [&]<int kLanes, int kHeads>() {
    Launch(MultiplyKeys<T, kLanes>,
           dim3(CeilDiv(a.n, kSplitKeys), keys.size(1), keys.size(0)),
           dim3(kSplitThreads), 0, a);
  });
}

}  // namespace

at::Tensor KeyProductsCuda(const at::Tensor& directions,
                           const at::Tensor& keys) {
  TORCH_CHECK(CudaKernelsTake(keys.size(3), 1) && keys.stride(3) == 1 &&
              keys.stride(2) == keys.size(3));
  TORCH_CHECK(
      directions.scalar_type() == at::kFloat && directions.is_contiguous() &&
      directions.size(0) == keys.size(0) &&
      directions.size(1) == keys.size(1) &&
      directions.size(2) == keys.size(3) &&
      reinterpret_cast<uintptr_t>(directions.const_data_ptr()) % 16 == 0);
  const DeviceScope scope(keys.device());
  at::Tensor products = at::empty({keys.size(0), keys.size(1), keys.size(2)},
                                  directions.options());
  if (products.numel() == 0) return products;
  if (keys.scalar_type() == at::kBFloat16)
    Multiply<c10::BFloat16>(directions, keys, products);
  else
    Multiply<float>(directions, keys, products);
  return products;
}

void StoreRowCuda(const at::Tensor& queries, const at::Tensor& keys,
                  const at::Tensor& log_sum_exp, int64_t query,
                  at::Tensor row) {
  CheckShapes(queries, keys);
  TORCH_CHECK(log_sum_exp.is_contiguous() && row.stride(1) == 1);
  const DeviceScope scope(queries.device());
  if (queries.scalar_type() == at::kBFloat16)
    Row<c10::BFloat16>(queries, keys, log_sum_exp, query, row);
  else
    Row<float>(queries, keys, log_sum_exp, query, row);
}

void StoreKeysValuesCuda(const at::Tensor& keys, const at::Tensor& values,
                         at::Tensor slot) {
  const int64_t t = keys.size(0), kv_heads = keys.size(1);
  // Bytes are copied as they are.
  TORCH_CHECK(keys.scalar_type() == slot.scalar_type() &&
              values.scalar_type() == slot.scalar_type() &&
              values.sizes() == keys.sizes() && slot.stride(3) == 1 &&
              slot.stride(2) == keys.size(2) && slot.size(2) == t &&
              slot.size(1) == kv_heads);
  const int64_t part = 16 / static_cast<int64_t>(keys.element_size());
  const int64_t parts = keys.size(2) / part;
  if (!IsAligned(keys, part) || !IsAligned(values, part)) {
    slot.select(0, 0).copy_(keys.transpose(0, 1));
    slot.select(0, 1).copy_(values.transpose(0, 1));
    return;
  }
  const DeviceScope scope(keys.device());
  Launch(StoreSlot, dim3(t, 2),
         dim3(std::min<int64_t>(
             CeilDiv(kv_heads * parts, kWarpThreads) * kWarpThreads,
             kSplitThreads)),
         0, static_cast<const uint4*>(keys.const_data_ptr()),
         static_cast<const uint4*>(values.const_data_ptr()),
         keys.stride(0) / part, values.stride(0) / part, keys.stride(1) / part,
         values.stride(1) / part, static_cast<uint4*>(slot.mutable_data_ptr()),
         slot.stride(0) / part, slot.stride(1) / part,
         static_cast<int>(kv_heads), static_cast<int>(parts));
}

}  // namespace kvrecall
