// Attention of one query, single rows, and storing keys and values.
//
// Decode is split over the positions: a block of threads reads the keys and
// then the values of one split of one KV head, for all query heads that share
// it, and writes an output, a maximum and a sum of exponentials per head; a
// second kernel merges the splits in their order. Scores go to a workspace, so
// that the rows need no second read of the keys.

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "ATen/ops/empty.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"
#include "server/engine/attention_cuda_kernels.h"

namespace kvrecall {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;
constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpThreads;
constexpr int kSplitKeys = 128;
constexpr int kMostHeads = 8;      // of a group
constexpr int kMostHeadDim = 128;  // sixteen lanes of eight elements

// A weight, or 0 where it is below the smallest normal float.
__device__ __forceinline__ float Weight(float log2_weight) {
  const float weight = exp2f(log2_weight);
  return weight >= FLT_MIN ? weight : 0.0f;
}

// One position's eight elements lie in each of kLanes neighbouring lanes.
// Reduces kHeads partial sums over them; lane p of the kLanes gets the total
// of head p / (kLanes / kHeads). At each step the lanes exchange one half of
// what they have, which takes kHeads − 1 shuffles instead of kHeads a step.
template <int kLanes, int kHeads>
__device__ __forceinline__ float SumOverLanes(float (&parts)[kHeads]) {
  const int lane = threadIdx.x % kLanes;
  int offset = kLanes / 2;
#pragma unroll
  for (int half = kHeads / 2; half > 0; half /= 2, offset /= 2) {
    const bool upper = (lane & offset) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float sent = upper ? parts[i] : parts[i + half];
      const float kept = upper ? parts[i + half] : parts[i];
      parts[i] = kept + __shfl_xor_sync(kAllLanes, sent, offset);
    }
  }
  float sum = parts[0];
#pragma unroll
  for (; offset > 0; offset /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, offset);
  return sum;
}

// Scores of one split's keys with the group's heads, times `scale` · log2 e,
// to shared memory; where there is no such key or head they are 0. `query`
// [per_group, head_dim], `keys` [n, head_dim]. Ends with a barrier.
template <typename T, int kLanes, int kHeads>
__device__ __forceinline__ void ScoreSplit(
    const T* query, const T* keys, int first_key, int n, int head_dim,
    int per_group, float scale, float (&scores)[kHeads][kSplitKeys]) {
  constexpr int kSlots = kThreads / kLanes;  // keys at a time
  constexpr int kPasses = kSplitKeys / kSlots;
  constexpr int kLanesPerHead = kLanes / kHeads;
  const int part = threadIdx.x % kLanes, slot = threadIdx.x / kLanes;
  const bool inside = part * 8 < head_dim;

  Raw8<T> k[kPasses];
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    const int key = first_key + p * kSlots + slot;
    if (inside && key < n)
      LoadRaw8(keys + static_cast<int64_t>(key) * head_dim + part * 8, k[p]);
    else
      ClearRaw8(k[p]);
  }
  float q[kHeads][8];
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    Raw8<T> raw;
    if (inside && h < per_group)
      LoadRaw8(query + h * head_dim + part * 8, raw);
    else
      ClearRaw8(raw);
    Unpack8(raw, q[h]);
  }
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    float elements[8];
    Unpack8(k[p], elements);
    float dots[kHeads];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      dots[h] = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) dots[h] = fmaf(q[h][i], elements[i], dots[h]);
    }
    const float sum = SumOverLanes<kLanes>(dots);
    if (part % kLanesPerHead == 0)
      scores[part / kLanesPerHead][p * kSlots + slot] = sum * (scale * kLog2E);
  }
  __syncthreads();
}

template <typename T>
struct DecodeArgs {
  const T* query;                    // [kv_heads · per_group, head_dim]
  const T* keys;                     // [kv_heads][N, head_dim]
  const T* values;                   // [kv_heads][N, head_dim]
  int64_t key_stride, value_stride;  // elements from one KV head to the next
  float* outputs;  // [splits, heads, head_dim], relative to the maximum
  float* maxima;   // [splits, heads], of the scores in base 2
  float* totals;   // [splits, heads], Σ 2^(score − maximum)
  float* scores;   // [heads, N] in base 2, or null
  int heads;       // kv_heads · per_group
  int per_group;
  int head_dim;
  int n;
  float scale;  // 1/√head_dim
};

// Turns the scores of one head into weights relative to their maximum, by one
// warp; keeps the scores themselves in the workspace where they are wanted.
template <typename T>
__device__ __forceinline__ void WeighSplit(const DecodeArgs<T>& a, int head,
                                           int first_key,
                                           float (&scores)[kSplitKeys]) {
  const int lane = threadIdx.x % kWarpThreads;
  const int count = min(kSplitKeys, a.n - first_key);
  float most = -INFINITY;
  for (int i = lane; i < count; i += kWarpThreads) {
    most = fmaxf(most, scores[i]);
    if (a.scores != nullptr)
      a.scores[static_cast<int64_t>(head) * a.n + first_key + i] = scores[i];
  }
  most = WarpMax(most);
  float total = 0;
  for (int i = lane; i < kSplitKeys; i += kWarpThreads) {
    scores[i] = i < count ? exp2f(scores[i] - most) : 0.0f;
    total += scores[i];
  }
  total = WarpSum(total);
  if (lane == 0) {
    const int64_t place = static_cast<int64_t>(blockIdx.x) * a.heads + head;
    a.maxima[place] = most;
    a.totals[place] = total;
  }
}

// Σ over the split's keys of weight · value, by lane of eight elements and by
// head: what this thread's share of the keys gives.
template <typename T, int kLanes, int kHeads>
__device__ __forceinline__ void AddValues(
    const T* values, int first_key, int n, int head_dim,
    const float (&weights)[kHeads][kSplitKeys], float (&sums)[kHeads][8]) {
  constexpr int kSlots = kThreads / kLanes;
  constexpr int kPasses = kSplitKeys / kSlots;
  const int part = threadIdx.x % kLanes, slot = threadIdx.x / kLanes;
  Raw8<T> v[kPasses];
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    const int key = first_key + p * kSlots + slot;
    if (part * 8 < head_dim && key < n)
      LoadRaw8(values + static_cast<int64_t>(key) * head_dim + part * 8, v[p]);
    else
      ClearRaw8(v[p]);
  }
#pragma unroll
  for (int h = 0; h < kHeads; ++h)
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[h][i] = 0;
#pragma unroll
  for (int p = 0; p < kPasses; ++p) {
    float elements[8];
    Unpack8(v[p], elements);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const float weight = weights[h][p * kSlots + slot];
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sums[h][i] = fmaf(weight, elements[i], sums[h][i]);
    }
  }
  // The slots of a warp.
#pragma unroll
  for (int offset = kLanes; offset < kWarpThreads; offset *= 2)
#pragma unroll
    for (int h = 0; h < kHeads; ++h)
#pragma unroll
      for (int i = 0; i < 8; ++i)
        sums[h][i] += __shfl_xor_sync(kAllLanes, sums[h][i], offset);
}

// Grid: splits, KV heads.
template <typename T, int kLanes, int kHeads>
__global__ void __launch_bounds__(kThreads) DecodeSplit(const DecodeArgs<T> a) {
  __shared__ float weights[kHeads][kSplitKeys];
  __shared__ float warp_sums[kWarps][kHeads][kLanes * 8];
  const int first_key = static_cast<int>(blockIdx.x) * kSplitKeys;
  const int first_head = static_cast<int>(blockIdx.y) * a.per_group;
  const int warp = threadIdx.x / kWarpThreads;
  const int lane = threadIdx.x % kWarpThreads;
  ScoreSplit<T, kLanes, kHeads>(a.query + first_head * a.head_dim,
                                a.keys + blockIdx.y * a.key_stride, first_key,
                                a.n, a.head_dim, a.per_group, a.scale, weights);
  if (warp < a.per_group)
    WeighSplit(a, first_head + warp, first_key, weights[warp]);
  __syncthreads();

  float sums[kHeads][8];
  AddValues<T, kLanes, kHeads>(a.values + blockIdx.y * a.value_stride,
                               first_key, a.n, a.head_dim, weights, sums);
  if (lane < kLanes)
#pragma unroll
    for (int h = 0; h < kHeads; ++h)
#pragma unroll
      for (int i = 0; i < 8; ++i) warp_sums[warp][h][lane * 8 + i] = sums[h][i];
  __syncthreads();
  for (int i = threadIdx.x; i < a.per_group * a.head_dim; i += kThreads) {
    const int h = i / a.head_dim, d = i % a.head_dim;
    float sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += warp_sums[w][h][d];
    a.outputs[(static_cast<int64_t>(blockIdx.x) * a.heads + first_head + h) *
                  a.head_dim +
              d] = sum;
  }
}

constexpr int kMergeLanes = 4;

// Grid: heads. Block: head_dim × kMergeLanes threads. Dynamic shared memory: a
// float a split.
template <typename T>
__global__ void MergeSplits(const DecodeArgs<T> a, int splits, T* output,
                            float* lse, float* lse2) {
  float* weights = DynamicShared<float>();
  __shared__ float scratch_max[kMostHeadDim * kMergeLanes / kWarpThreads];
  __shared__ float scratch_sum[kMostHeadDim * kMergeLanes / kWarpThreads];
  __shared__ float parts[kMergeLanes][kMostHeadDim];
  const int head = blockIdx.x;
  const int thread = threadIdx.x + threadIdx.y * blockDim.x;
  const int threads = blockDim.x * blockDim.y;

  float most = -INFINITY;
  for (int s = thread; s < splits; s += threads)
    most = fmaxf(most, a.maxima[static_cast<int64_t>(s) * a.heads + head]);
  most = BlockMax(most, scratch_max);
  float total = 0;
  for (int s = thread; s < splits; s += threads) {
    const int64_t place = static_cast<int64_t>(s) * a.heads + head;
    weights[s] = exp2f(a.maxima[place] - most);
    total += weights[s] * a.totals[place];
  }
  // Its barrier also makes the weights visible to all.
  total = BlockSum(total, scratch_sum);

  float sum = 0;
  for (int s = threadIdx.y; s < splits; s += kMergeLanes)
    sum =
        fmaf(weights[s],
             a.outputs[(static_cast<int64_t>(s) * a.heads + head) * a.head_dim +
                       threadIdx.x],
             sum);
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y == 0) {
    for (int i = 1; i < kMergeLanes; ++i) sum += parts[i][threadIdx.x];
    output[head * a.head_dim + threadIdx.x] = static_cast<T>(sum / total);
  }
  if (thread == 0) {
    lse2[head] = most + log2f(total);
    lse[head] = lse2[head] * kLn2;
  }
}

// Grid: blocks of positions, KV heads. row [kv_heads][≥ n].
__global__ void RowFromScores(const float* scores, const float* lse2, int n,
                              int per_group, float* row, int64_t row_stride) {
  const int key = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (key >= n) return;
  float sum = 0;
  for (int h = 0; h < per_group; ++h) {
    const int head = static_cast<int>(blockIdx.y) * per_group + h;
    sum += Weight(scores[static_cast<int64_t>(head) * n + key] - lse2[head]);
  }
  row[blockIdx.y * row_stride + key] = sum / static_cast<float>(per_group);
}

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
__global__ void __launch_bounds__(kThreads) StoreRow(const RowArgs<T> a) {
  __shared__ float scores[kHeads][kSplitKeys];
  const int first_key = static_cast<int>(blockIdx.x) * kSplitKeys;
  const int first_head = static_cast<int>(blockIdx.y) * a.per_group;
  ScoreSplit<T, kLanes, kHeads>(
      a.query + first_head * a.head_dim, a.keys + blockIdx.y * a.key_stride,
      first_key, a.visible, a.head_dim, a.per_group, a.scale, scores);
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

// Calls `launch` with the lanes a position and the heads a group, as template
// arguments, that fit.
template <typename LaunchFn>
void ChooseShape(int64_t head_dim, int64_t per_group, LaunchFn launch) {
  const auto with_lanes = [&]<int kHeads>() {
    if (head_dim <= 64)
      launch.template operator()<8, kHeads>();
    else
      launch.template operator()<16, kHeads>();
  };
  if (per_group == 1) return with_lanes.template operator()<1>();
  if (per_group == 2) return with_lanes.template operator()<2>();
  if (per_group <= 4) return with_lanes.template operator()<4>();
  with_lanes.template operator()<8>();
}

template <typename T>
AttentionResult Decode(const at::Tensor& query, const at::Tensor& keys,
                       const at::Tensor& values, at::Tensor row) {
  const int64_t heads = query.size(1), head_dim = query.size(2);
  const int64_t kv_heads = keys.size(0), n = keys.size(1);
  const int64_t per_group = heads / kv_heads;
  const int64_t splits = CeilDiv(n, kSplitKeys);
  const bool with_row = row.defined();
  const at::TensorOptions wide = query.options().dtype(at::kFloat);
  // One workspace: outputs, maxima, totals, base-2 log-sum-exps, scores.
  const int64_t places = splits * heads;
  const at::Tensor workspace = at::empty(
      {places * (head_dim + 2) + heads + (with_row ? heads * n : 0)}, wide);
  AttentionResult result;
  result.output = at::empty({1, heads, head_dim}, query.options());
  result.log_sum_exp = at::empty({heads, 1}, wide);

  DecodeArgs<T> a;
  a.query = query.const_data_ptr<T>();
  a.keys = keys.const_data_ptr<T>();
  a.values = values.const_data_ptr<T>();
  a.key_stride = keys.stride(0);
  a.value_stride = values.stride(0);
  a.outputs = workspace.mutable_data_ptr<float>();
  a.maxima = a.outputs + places * head_dim;
  a.totals = a.maxima + places;
  float* const lse2 = a.totals + places;
  a.scores = with_row ? lse2 + heads : nullptr;
  a.heads = static_cast<int>(heads);
  a.per_group = static_cast<int>(per_group);
  a.head_dim = static_cast<int>(head_dim);
  a.n = static_cast<int>(n);
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));

  ChooseShape(head_dim, per_group, [&]<int kLanes, int kHeads>() {
    Launch(DecodeSplit<T, kLanes, kHeads>, dim3(splits, kv_heads),
           dim3(kThreads), 0, a);
  });
  Launch(MergeSplits<T>, dim3(heads), dim3(head_dim, kMergeLanes),
         splits * sizeof(float), a, static_cast<int>(splits),
         result.output.template mutable_data_ptr<T>(),
         result.log_sum_exp.mutable_data_ptr<float>(), lse2);
  if (with_row)
    Launch(RowFromScores, dim3(CeilDiv(n, kThreads), kv_heads), dim3(kThreads),
           0, a.scores, lse2, a.n, a.per_group, row.mutable_data_ptr<float>(),
           row.stride(0));
  return result;
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
           dim3(kThreads), 0, a);
  });
}

void CheckShapes(const at::Tensor& queries, const at::Tensor& keys) {
  TORCH_CHECK(CudaKernelsTake(queries.size(2), queries.size(1) / keys.size(0)));
  TORCH_CHECK(queries.is_contiguous() && keys.stride(1) == keys.size(2) &&
              keys.stride(2) == 1);
}

// True if rows of 16-byte parts can be read where `t` [T, kv_heads, head_dim]
// lies.
bool IsAligned(const at::Tensor& t, int64_t part) {
  return t.stride(2) == 1 && t.stride(1) % part == 0 &&
         t.stride(0) % part == 0 &&
         reinterpret_cast<uintptr_t>(t.const_data_ptr()) % 16 == 0;
}

}  // namespace

bool CudaKernelsTake(int64_t head_dim, int64_t per_group) {
  return head_dim > 0 && head_dim <= kMostHeadDim && head_dim % 8 == 0 &&
         per_group > 0 && per_group <= kMostHeads;
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

AttentionResult DecodeCuda(const at::Tensor& query, const at::Tensor& keys,
                           const at::Tensor& values, at::Tensor row) {
  CheckShapes(query, keys);
  TORCH_CHECK(query.size(0) == 1 && values.stride(1) == values.size(2) &&
              values.stride(2) == 1 && (!row.defined() || row.stride(1) == 1));
  const DeviceScope scope(query.device());
  if (query.scalar_type() == at::kBFloat16)
    return Decode<c10::BFloat16>(query, keys, values, row);
  return Decode<float>(query, keys, values, row);
}

void StoreKeysValuesCuda(const at::Tensor& keys, const at::Tensor& values,
                         at::Tensor slot) {
  const int64_t t = keys.size(0), kv_heads = keys.size(1);
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
             CeilDiv(kv_heads * parts, kWarpThreads) * kWarpThreads, kThreads)),
         0, static_cast<const uint4*>(keys.const_data_ptr()),
         static_cast<const uint4*>(values.const_data_ptr()),
         keys.stride(0) / part, values.stride(0) / part, keys.stride(1) / part,
         values.stride(1) / part, static_cast<uint4*>(slot.mutable_data_ptr()),
         slot.stride(0) / part, slot.stride(1) / part,
         static_cast<int>(kv_heads), static_cast<int>(parts));
}

}  // namespace kvrecall
