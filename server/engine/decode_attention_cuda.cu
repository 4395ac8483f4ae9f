// Attention of one query, and of lanes of one position.
//
// Both are split over the positions: a block of threads reads the keys and
// then the values of one split of one KV head, for all query heads of a lane
// that share it, and writes an output, a maximum and a sum of exponentials per
// head; a second kernel merges the splits in their order. Scores go to a
// workspace, so that the rows need no second read of the keys. Blocks of
// different lanes and the same split run side by side, so that lanes read the
// past from the cache. What a lane has of its own is one more split.

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "ATen/ops/empty.h"

#include "server/engine/score_split.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = kSplitThreads;
constexpr int kWarps = kSplitWarps;
// Of one launch: their masks travel as an argument.
constexpr int kMostLanes = 16;
constexpr int64_t kLaneWorkspace = int64_t{32} << 20;  // bytes

// `heads` are those of all lanes: query head h of lane i is
// i · kv_heads · per_group + h.
template <typename T>
struct DecodeArgs {
  const T* query;                    // [heads, head_dim]
  const T* keys;                     // [kv_heads][N, head_dim]
  const T* values;                   // [kv_heads][N, head_dim]
  int64_t key_stride, value_stride;  // elements from one KV head to the next
  float* outputs;  // [splits, heads, head_dim], relative to the maximum
  float* maxima;   // [splits, heads], of the scores in base 2
  float* totals;   // [splits, heads], Σ 2^(score − maximum)
  float* scores;   // [heads, N] in base 2, or null
  // Of the position behind the N, the last split: [lanes · kv_heads, head_dim];
  // null: there is none.
  const T* own_keys;
  const T* own_values;
  int heads;
  int per_group;
  int head_dim;
  int n;
  float scale;  // 1/√head_dim
};

// Where lanes see the past: a byte for each position, 0 where not; null: all.
struct LaneMasks {
  const uint8_t* visible[kMostLanes];
  int64_t head_stride[kMostLanes];  // 0: one row for all KV heads
};

// Turns the scores of one head into weights relative to their maximum, by one
// warp; keeps the scores themselves in the workspace where they are wanted.
// `visible` is of the split's `count` positions, or null.
template <typename T>
__device__ __forceinline__ void WeighSplit(const DecodeArgs<T>& a, int split,
                                           int head, int count,
                                           const uint8_t* visible,
                                           float (&scores)[kSplitKeys]) {
  const int lane = threadIdx.x % kWarpThreads;
  const int first_key = split * kSplitKeys;
  float most = -INFINITY;
  for (int i = lane; i < count; i += kWarpThreads) {
    if (visible != nullptr && visible[i] == 0) scores[i] = -INFINITY;
    most = fmaxf(most, scores[i]);
    if (a.scores != nullptr)
      a.scores[static_cast<int64_t>(head) * a.n + first_key + i] = scores[i];
  }
  most = WarpMax(most);
  // Where all is hidden every weight is 0, and so is the split's when merged.
  const float base = most == -INFINITY ? 0.0f : most;
  float total = 0;
  for (int i = lane; i < kSplitKeys; i += kWarpThreads) {
    scores[i] = i < count ? exp2f(scores[i] - base) : 0.0f;
    total += scores[i];
  }
  total = WarpSum(total);
  if (lane == 0) {
    const int64_t place = static_cast<int64_t>(split) * a.heads + head;
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

// Grid: lanes, splits, KV heads.
template <typename T, int kLanes, int kHeads>
__global__ void __launch_bounds__(kThreads)
    DecodeSplit(const DecodeArgs<T> a, const LaneMasks masks) {
  __shared__ float weights[kHeads][kSplitKeys];
  __shared__ float warp_sums[kWarps][kHeads][kLanes * 8];
  const int split = static_cast<int>(blockIdx.y);
  const int group = static_cast<int>(blockIdx.z);
  const int lane_group = static_cast<int>(blockIdx.x * gridDim.z) + group;
  const int first_head = lane_group * a.per_group;
  const int warp = threadIdx.x / kWarpThreads;
  const int lane = threadIdx.x % kWarpThreads;
  const bool own = a.own_keys != nullptr && blockIdx.y + 1 == gridDim.y;
  const T* keys =
      own ? a.own_keys + static_cast<int64_t>(lane_group) * a.head_dim
          : a.keys + group * a.key_stride;
  const T* values =
      own ? a.own_values + static_cast<int64_t>(lane_group) * a.head_dim
          : a.values + group * a.value_stride;
  const int first_key = own ? 0 : split * kSplitKeys;
  const int n = own ? 1 : a.n;
  const uint8_t* visible = masks.visible[blockIdx.x];
  if (own)
    visible = nullptr;
  else if (visible != nullptr)
    visible += group * masks.head_stride[blockIdx.x] + first_key;
  ScoreSplit<T, kLanes, kHeads>(a.query + first_head * a.head_dim, keys,
                                first_key, n, a.head_dim, a.per_group,
                                a.scale * kLog2E, weights);
  if (warp < a.per_group)
    WeighSplit(a, split, first_head + warp, min(kSplitKeys, n - first_key),
               visible, weights[warp]);
  __syncthreads();

  float sums[kHeads][8];
  AddValues<T, kLanes, kHeads>(values, first_key, n, a.head_dim, weights, sums);
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
    a.outputs[(static_cast<int64_t>(split) * a.heads + first_head + h) *
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

  DecodeArgs<T> a{};
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
    Launch(DecodeSplit<T, kLanes, kHeads>, dim3(1, splits, kv_heads),
           dim3(kThreads), 0, a, LaneMasks{});
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

// A copy where a view is not packed and aligned to 16 bytes.
at::Tensor Packed(const at::Tensor& t) {
  const at::Tensor packed = t.contiguous();
  return reinterpret_cast<uintptr_t>(packed.const_data_ptr()) % 16 == 0
             ? packed
             : packed.clone();
}

// `visible` as LaneQueries has them, each [1 or kv_heads, past].
LaneMasks MasksOf(std::span<const at::Tensor> visible) {
  LaneMasks masks{};
  for (size_t i = 0; i < visible.size(); ++i) {
    masks.visible[i] = visible[i].const_data_ptr<uint8_t>();
    masks.head_stride[i] = visible[i].size(0) == 1 ? 0 : visible[i].stride(0);
  }
  return masks;
}

// The lanes of one launch, all packed; into `output` [lanes, heads, head_dim].
template <typename T>
void AttendLanes(const at::Tensor& keys, const at::Tensor& values,
                 const LaneQueries& lanes, at::Tensor output) {
  const int64_t count = lanes.queries.size(0);
  const int64_t kv_heads = keys.size(0), past = keys.size(1);
  const int64_t head_dim = keys.size(2);
  const int64_t heads = count * lanes.queries.size(1);
  const int64_t per_group = lanes.queries.size(1) / kv_heads;
  const int64_t splits = CeilDiv(past, kSplitKeys) + 1;
  const int64_t places = splits * heads;
  const at::Tensor workspace =
      at::empty({places * (head_dim + 2) + 2 * heads},
                lanes.queries.options().dtype(at::kFloat));

  DecodeArgs<T> a{};
  a.query = lanes.queries.const_data_ptr<T>();
  a.keys = keys.const_data_ptr<T>();
  a.values = values.const_data_ptr<T>();
  a.key_stride = keys.stride(0);
  a.value_stride = values.stride(0);
  a.outputs = workspace.mutable_data_ptr<float>();
  a.maxima = a.outputs + places * head_dim;
  a.totals = a.maxima + places;
  a.own_keys = lanes.keys.const_data_ptr<T>();
  a.own_values = lanes.values.const_data_ptr<T>();
  a.heads = static_cast<int>(heads);
  a.per_group = static_cast<int>(per_group);
  a.head_dim = static_cast<int>(head_dim);
  a.n = static_cast<int>(past);
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  float* const lse = a.totals + places;
  ChooseShape(head_dim, per_group, [&]<int kLanes, int kHeads>() {
    Launch(DecodeSplit<T, kLanes, kHeads>, dim3(count, splits, kv_heads),
           dim3(kThreads), 0, a, MasksOf(lanes.visible));
  });
  Launch(MergeSplits<T>, dim3(heads), dim3(head_dim, kMergeLanes),
         splits * sizeof(float), a, static_cast<int>(splits),
         output.mutable_data_ptr<T>(), lse, lse + heads);
}

}  // namespace

bool CudaKernelsTake(int64_t head_dim, int64_t per_group) {
  return head_dim > 0 && head_dim <= kMostHeadDim && head_dim % 8 == 0 &&
         per_group > 0 && per_group <= kMostHeads;
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

at::Tensor AttendMaskedCuda(const at::Tensor& keys, const at::Tensor& values,
                            const LaneQueries& lanes) {
  CheckShapes(lanes.queries.contiguous(), keys);
  const int64_t count = lanes.queries.size(0), past = keys.size(1);
  TORCH_CHECK(values.stride(1) == values.size(2) && values.stride(2) == 1 &&
              std::ssize(lanes.visible) == count);
  const DeviceScope scope(keys.device());
  const at::Tensor queries = Packed(lanes.queries);
  const at::Tensor own_keys = Packed(lanes.keys);
  const at::Tensor own_values = Packed(lanes.values);
  std::vector<at::Tensor> visible;
  for (const at::Tensor& mask : lanes.visible) {
    TORCH_CHECK(mask.scalar_type() == at::kByte && mask.size(1) == past &&
                (mask.size(0) == 1 || mask.size(0) == keys.size(0)) &&
                mask.device() == keys.device());
    visible.push_back(
        mask.size(1) < 2 || mask.stride(1) == 1 ? mask : mask.contiguous());
  }
  at::Tensor output = at::empty(queries.sizes(), queries.options());
  // Bounds the outputs of the splits, which lie in the workspace.
  const int64_t lane_bytes = (CeilDiv(past, kSplitKeys) + 1) * queries.size(1) *
                             queries.size(2) * int64_t{sizeof(float)};
  const int64_t at_once =
      std::clamp<int64_t>(kLaneWorkspace / lane_bytes, 1, kMostLanes);
  for (int64_t first = 0; first < count; first += at_once) {
    const int64_t some = std::min(at_once, count - first);
    const LaneQueries part = {
        queries.narrow(0, first, some),
        own_keys.narrow(0, first, some),
        own_values.narrow(0, first, some),
        {visible.begin() + first, visible.begin() + first + some}};
    if (queries.scalar_type() == at::kBFloat16)
      AttendLanes<c10::BFloat16>(keys, values, part,
                                 output.narrow(0, first, some));
    else
      AttendLanes<float>(keys, values, part, output.narrow(0, first, some));
  }
  return output;
}

}  // namespace kvrecall
