// Column sums of the attention weights. A block of threads owns a block of
// keys of one KV head and streams a fixed split of the queries past it; each
// of its threads adds up a few columns in registers. The partial sums go to a
// workspace [splits, kv_heads, N] and from there, in the order of the splits,
// to float64.
//
// The query heads of a group lie side by side as rows: row r is query
// r / per_group and head r % per_group of the group. So a key is loaded once
// for all heads that share it, whatever their number.

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "ATen/ops/empty.h"
#include "c10/util/Exception.h"

#include "server/cuda_launch.cuh"
#include "server/engine/attention_cuda_kernels.h"
#include "server/engine/tensor_core.cuh"

namespace kvrecall {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr int64_t kLeastSplitQueries = 256;
constexpr int64_t kMostSplits = 16;

// Quotients by a small divisor without a division: exact for 0 ≤ x < 2²⁹ and
// divisors up to 8.
struct Divider {
  int divisor;
  uint64_t magic;

  explicit Divider(int d)
      : divisor(d), magic((uint64_t{1} << 32) / static_cast<uint64_t>(d) + 1) {}

  __device__ int Quotient(int x) const {
    return static_cast<int>((static_cast<uint64_t>(x) * magic) >> 32);
  }
};

template <typename T>
struct ColumnArgs {
  const T* queries;    // [Tq, kv_heads · per_group, head_dim]
  const T* keys;       // [kv_heads][N, head_dim]
  int64_t key_stride;  // elements from one KV head to the next
  const float* lse;    // [kv_heads · per_group, Tq]
  float* partials;     // [splits, kv_heads, N]
  Divider per_group;
  int kv_heads;
  int head_dim;
  int tq;
  int n;
  int from;           // the first query that counts
  int split_queries;  // queries a split
  float scale;        // 1/√head_dim
};

// The rows of a block: those of its split whose queries see its first key.
struct RowRange {
  int begin, end;
};

template <typename T>
__device__ RowRange BlockRows(const ColumnArgs<T>& a, int first_key) {
  const int split_begin =
      a.from + static_cast<int>(blockIdx.z) * a.split_queries;
  const int end = min(split_begin + a.split_queries, a.tq);
  // Query i sees the keys up to N − Tq + i.
  const int begin = max(split_begin, first_key - (a.n - a.tq));
  return {begin * a.per_group.divisor, end * a.per_group.divisor};
}

// The last key that a row sees.
template <typename T>
__device__ __forceinline__ int LastKey(const ColumnArgs<T>& a, int row) {
  return a.n - a.tq + a.per_group.Quotient(row);
}

template <typename T>
__device__ __forceinline__ const T* RowPointer(const ColumnArgs<T>& a,
                                               int row) {
  // The heads of a query lie side by side, and so do the group's rows of it.
  const int query = a.per_group.Quotient(row);
  const int other = (a.kv_heads - 1) * a.per_group.divisor;
  const int64_t head = row + static_cast<int64_t>(query) * other +
                       static_cast<int64_t>(blockIdx.y) * a.per_group.divisor;
  return a.queries + head * a.head_dim;
}

template <typename T>
__device__ __forceinline__ const float* LsePointer(const ColumnArgs<T>& a,
                                                   int row) {
  const int query = a.per_group.Quotient(row);
  const int head = row - query * a.per_group.divisor +
                   static_cast<int>(blockIdx.y) * a.per_group.divisor;
  return a.lse + static_cast<int64_t>(head) * a.tq + query;
}

template <typename T>
__device__ __forceinline__ void StorePartial(const ColumnArgs<T>& a, int key,
                                             float sum) {
  if (key >= a.n) return;
  const int64_t line =
      static_cast<int64_t>(blockIdx.z) * a.kv_heads + blockIdx.y;
  a.partials[line * a.n + key] = sum;
}

// --- bfloat16: tensor cores ------------------------------------------------

constexpr int kWarps = 8;
constexpr int kKeyTiles = 2;  // of 16 keys: a warp's, held in registers
constexpr int kWarpKeys = 16 * kKeyTiles;
constexpr int kBlockKeys = kWarps * kWarpKeys;
constexpr int kTileRows = 128;
constexpr int kStages = 2;

// A tile of rows and their log-sum-exps. Lines are 16 bytes longer than their
// elements, so that the eight lines that a matrix load touches lie in
// different banks.
template <int kHeadDim>
struct RowTile {
  static constexpr int kLine = kHeadDim + 8;
  c10::BFloat16 rows[kTileRows * kLine];
  float lse[kTileRows];
};

// Starts the copy of the rows from `first` on; rows from `end` on are zeros.
template <int kHeadDim>
__device__ __forceinline__ void StartTile(const ColumnArgs<c10::BFloat16>& a,
                                          int first, int end,
                                          RowTile<kHeadDim>& tile) {
  constexpr int kParts = kHeadDim / 8;  // of 16 bytes
  for (int i = threadIdx.x; i < kTileRows * kParts;
       i += kWarps * kWarpThreads) {
    const int row = i / kParts, part = i % kParts;
    const bool inside = first + row < end && part * 8 < a.head_dim;
    const c10::BFloat16* from =
        inside ? RowPointer(a, first + row) + part * 8 : a.queries;
    CopyAsync16(&tile.rows[row * RowTile<kHeadDim>::kLine + part * 8], from,
                inside);
  }
  if (threadIdx.x < kTileRows) {
    const int row = first + static_cast<int>(threadIdx.x);
    const bool inside = row < end;
    CopyAsync4(&tile.lse[threadIdx.x], inside ? LsePointer(a, row) : a.lse,
               inside);
  }
}

// The warp's keys as the left operand: tile m holds the keys first + 16 m and
// the 15 that follow.
template <int kHeadDim>
__device__ __forceinline__ void LoadKeys(
    const ColumnArgs<c10::BFloat16>& a, int first,
    uint32_t (&keys)[kHeadDim / 16][kKeyTiles][4]) {
  const int lane = threadIdx.x % kWarpThreads;
  const c10::BFloat16* base = a.keys + blockIdx.y * a.key_stride;
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step)
#pragma unroll
    for (int m = 0; m < kKeyTiles; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = first + m * 16 + lane / 4 + (i % 2) * 8;
        const int d = step * 16 + (lane % 4) * 2 + (i / 2) * 8;
        keys[step][m][i] =
            key < a.n && d < a.head_dim
                ? __ldg(reinterpret_cast<const unsigned int*>(
                      base + static_cast<int64_t>(key) * a.head_dim + d))
                : 0;
      }
}

// The products of 16 rows with the warp's keys:
// [rows 0 … 7, 8 … 15][key tile][fragment].
struct Scores {
  float values[2][kKeyTiles][4];
};

// Of the rows at `rows`.
template <int kHeadDim>
__device__ __forceinline__ Scores
Multiply(const c10::BFloat16* rows,
         const uint32_t (&keys)[kHeadDim / 16][kKeyTiles][4]) {
  const int lane = threadIdx.x % kWarpThreads;
  // Matrices 0 and 1 are the rows 0 … 7, 2 and 3 the rows 8 … 15; the odd ones
  // are the second half of the step's elements.
  const c10::BFloat16* line =
      rows + (lane / 16 * 8 + lane % 8) * RowTile<kHeadDim>::kLine +
      lane / 8 % 2 * 8;
  Scores scores = {};
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    uint32_t q[4];
    LoadMatrices(line + step * 16, q);
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int m = 0; m < kKeyTiles; ++m)
        MultiplyAdd(scores.values[half][m], keys[step][m], q[2 * half],
                    q[2 * half + 1]);
  }
  return scores;
}

// Adds the weights of 16 rows, from `first` on, to the sums of the lane's four
// keys: `first_key` + lane / 4, and 8, 16 and 24 behind it.
template <bool kMasked>
__device__ __forceinline__ void AddWeights(const ColumnArgs<c10::BFloat16>& a,
                                           const Scores& scores,
                                           const float* lse, int first, int end,
                                           int first_key,
                                           float (&sums)[2 * kKeyTiles]) {
  const int lane = threadIdx.x % kWarpThreads;
  const float scale = a.scale * kLog2E;
#pragma unroll
  for (int half = 0; half < 2; ++half)
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int row = half * 8 + lane % 4 * 2 + c;
      const float shift = lse[row] * kLog2E;
      // Where nothing is masked, all keys are seen.
      int last_key = a.n;
      if (kMasked) last_key = first + row < end ? LastKey(a, first + row) : -1;
#pragma unroll
      for (int i = 0; i < 2 * kKeyTiles; ++i) {
        const float weight = Exp2Flush(
            scores.values[half][i / 2][i % 2 * 2 + c] * scale - shift);
        const int key = first_key + lane / 4 + i * 8;
        sums[i] += !kMasked || key <= last_key ? weight : 0.0f;
      }
    }
}

// Adds a whole tile's weights, of which none is masked. The products of 16 rows
// are on their way while the weights of the 16 before are made, so that the
// tensor cores and the exponentials' unit work at once.
template <int kHeadDim>
__device__ __forceinline__ void AddWholeTile(
    const ColumnArgs<c10::BFloat16>& a, const RowTile<kHeadDim>& tile,
    const uint32_t (&keys)[kHeadDim / 16][kKeyTiles][4],
    float (&sums)[2 * kKeyTiles]) {
  constexpr int kLines = 16 * RowTile<kHeadDim>::kLine;
  Scores before = Multiply<kHeadDim>(tile.rows, keys);
#pragma unroll 2
  for (int part = 1; part < kTileRows / 16; ++part) {
    const Scores next = Multiply<kHeadDim>(tile.rows + part * kLines, keys);
    AddWeights<false>(a, before, tile.lse + (part - 1) * 16, 0, 0, 0, sums);
    before = next;
  }
  AddWeights<false>(a, before, tile.lse + kTileRows - 16, 0, 0, 0, sums);
}

// Grid: blocks of keys, KV heads, splits.
template <int kHeadDim>
__global__ void __launch_bounds__(kWarps* kWarpThreads, 2)
    ColumnSumsTensorCore(const ColumnArgs<c10::BFloat16> a) {
  RowTile<kHeadDim>* tiles = DynamicShared<RowTile<kHeadDim>>();
  const int block_key = static_cast<int>(blockIdx.x) * kBlockKeys;
  const int lane = threadIdx.x % kWarpThreads;
  const int first_key = block_key + threadIdx.x / kWarpThreads * kWarpKeys;
  const RowRange range = BlockRows(a, block_key);
  const int count =
      range.begin < range.end
          ? static_cast<int>(CeilDiv(range.end - range.begin, kTileRows))
          : 0;

  float sums[2 * kKeyTiles] = {};
  if (count > 0) {
    for (int t = 0; t < kStages - 1; ++t) {
      if (t < count)
        StartTile(a, range.begin + t * kTileRows, range.end, tiles[t]);
      CommitCopies();
    }
    uint32_t keys[kHeadDim / 16][kKeyTiles][4];
    LoadKeys<kHeadDim>(a, first_key, keys);
    for (int t = 0; t < count; ++t) {
      WaitForCopies<kStages - 2>();
      // Tile t has arrived for all, and all are done with tile t − 1, whose
      // place the next copy takes.
      __syncthreads();
      const int next = t + kStages - 1;
      if (next < count)
        StartTile(a, range.begin + next * kTileRows, range.end,
                  tiles[next % kStages]);
      CommitCopies();
      const RowTile<kHeadDim>& tile = tiles[t % kStages];
      const int tile_row = range.begin + t * kTileRows;
      // The choices are the warp's: all its lanes take the same.
      if (tile_row + kTileRows <= range.end &&
          LastKey(a, tile_row) >= first_key + kWarpKeys - 1) {
        AddWholeTile(a, tile, keys, sums);
        continue;
      }
#pragma unroll 1
      for (int sub = 0; sub < kTileRows; sub += 16) {
        const int first = tile_row + sub;
        const int last = min(first + 16, range.end) - 1;
        if (last < first || LastKey(a, last) < first_key) continue;
        AddWeights<true>(a,
                         Multiply<kHeadDim>(
                             tile.rows + sub * RowTile<kHeadDim>::kLine, keys),
                         tile.lse + sub, first, range.end, first_key, sums);
      }
    }
  }
  // The four lanes of a quad hold the same keys' sums over different rows.
#pragma unroll
  for (int i = 0; i < 2 * kKeyTiles; ++i) {
    sums[i] += __shfl_xor_sync(kAllLanes, sums[i], 1);
    sums[i] += __shfl_xor_sync(kAllLanes, sums[i], 2);
    if (lane % 4 == 0) StorePartial(a, first_key + lane / 4 + i * 8, sums[i]);
  }
}

// --- float32: plain multiply-adds, a key a thread --------------------------

constexpr int kPlainKeys = 128;
constexpr int kPlainRows = 32;

template <int kHeadDim>
__device__ __forceinline__ float Dot(const float* row,
                                     const float (&key)[kHeadDim]) {
  float parts[4] = {};
#pragma unroll
  for (int d = 0; d < kHeadDim; d += 4)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      parts[i] = fmaf(row[d + i], key[d + i], parts[i]);
  return (parts[0] + parts[1]) + (parts[2] + parts[3]);
}

// Grid: blocks of keys, KV heads, splits.
template <int kHeadDim>
__global__ void __launch_bounds__(kPlainKeys)
    ColumnSumsPlain(const ColumnArgs<float> a) {
  __shared__ float rows[kPlainRows][kHeadDim];
  __shared__ float lse[kPlainRows];
  __shared__ int last_keys[kPlainRows];
  const int block_key = static_cast<int>(blockIdx.x) * kPlainKeys;
  const int key = block_key + static_cast<int>(threadIdx.x);
  const RowRange range = BlockRows(a, block_key);

  float k[kHeadDim];
  const float* from = a.keys + blockIdx.y * a.key_stride +
                      static_cast<int64_t>(key) * a.head_dim;
#pragma unroll
  for (int d = 0; d < kHeadDim; ++d)
    k[d] = key < a.n && d < a.head_dim ? from[d] : 0;

  float sum = 0;
  for (int first = range.begin; first < range.end; first += kPlainRows) {
    const int count = min(kPlainRows, range.end - first);
    for (int i = threadIdx.x; i < count * kHeadDim; i += kPlainKeys) {
      const int row = i / kHeadDim, d = i % kHeadDim;
      rows[row][d] = d < a.head_dim ? RowPointer(a, first + row)[d] : 0;
    }
    if (static_cast<int>(threadIdx.x) < count) {
      lse[threadIdx.x] = *LsePointer(a, first + static_cast<int>(threadIdx.x));
      last_keys[threadIdx.x] =
          LastKey(a, first + static_cast<int>(threadIdx.x));
    }
    __syncthreads();
    // A sum per tile first: its rounding errors stay those of few terms.
    float tile_sum = 0;
    for (int row = 0; row < count; ++row) {
      const float weight =
          expf(Dot<kHeadDim>(rows[row], k) * a.scale - lse[row]);
      tile_sum += key <= last_keys[row] && weight >= FLT_MIN ? weight : 0.0f;
    }
    sum += tile_sum;
    __syncthreads();
  }
  StorePartial(a, key, sum);
}

// --- both --------------------------------------------------------------------

constexpr int kReduceThreads = 256;

// Grid: blocks of keys, KV heads. sums [kv_heads][≥ N].
__global__ void AddPartials(const float* partials, int splits, int kv_heads,
                            int n, double weight, double* sums,
                            int64_t sum_stride) {
  const int key = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (key >= n) return;
  double sum = 0;
  for (int s = 0; s < splits; ++s) {
    const int64_t line = static_cast<int64_t>(s) * kv_heads + blockIdx.y;
    sum += partials[line * n + key];
  }
  sums[blockIdx.y * sum_stride + key] += sum * weight;
}

template <int kHeadDim>
void LaunchSums(const ColumnArgs<c10::BFloat16>& args, int64_t splits) {
  const dim3 grid(CeilDiv(args.n, kBlockKeys), args.kv_heads, splits);
  Launch(ColumnSumsTensorCore<kHeadDim>, grid, dim3(kWarps * kWarpThreads),
         kStages * sizeof(RowTile<kHeadDim>), args);
}

template <int kHeadDim>
void LaunchSums(const ColumnArgs<float>& args, int64_t splits) {
  const dim3 grid(CeilDiv(args.n, kPlainKeys), args.kv_heads, splits);
  Launch(ColumnSumsPlain<kHeadDim>, grid, dim3(kPlainKeys), 0, args);
}

// The smallest kernel that a head fits into; what is behind it is zeros.
template <typename T>
void ChooseSums(const ColumnArgs<T>& args, int64_t splits) {
  if (args.head_dim <= 64) return LaunchSums<64>(args, splits);
  if (args.head_dim <= 80) return LaunchSums<80>(args, splits);
  if (args.head_dim <= 96) return LaunchSums<96>(args, splits);
  return LaunchSums<128>(args, splits);
}

template <typename T>
void AddSums(const at::Tensor& queries, const at::Tensor& keys,
             const at::Tensor& log_sum_exp, int64_t from, at::Tensor sums) {
  const int64_t tq = queries.size(0), head_dim = queries.size(2);
  const int64_t kv_heads = keys.size(0), n = keys.size(1);
  const int64_t split_queries =
      std::max(kLeastSplitQueries, CeilDiv(tq - from, kMostSplits));
  const int64_t splits = CeilDiv(tq - from, split_queries);
  const at::Tensor partials =
      at::empty({splits, kv_heads, n}, queries.options().dtype(at::kFloat));
  ColumnArgs<T> args{
      queries.const_data_ptr<T>(),
      keys.const_data_ptr<T>(),
      keys.stride(0),
      log_sum_exp.const_data_ptr<float>(),
      partials.mutable_data_ptr<float>(),
      Divider(static_cast<int>(queries.size(1) / kv_heads)),
      static_cast<int>(kv_heads),
      static_cast<int>(head_dim),
      static_cast<int>(tq),
      static_cast<int>(n),
      static_cast<int>(from),
      static_cast<int>(split_queries),
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)))};
  ChooseSums(args, splits);
  Launch(AddPartials, dim3(CeilDiv(n, kReduceThreads), kv_heads),
         dim3(kReduceThreads), 0, partials.const_data_ptr<float>(),
         static_cast<int>(splits), static_cast<int>(kv_heads),
         static_cast<int>(n), 1.0 / args.per_group.divisor,
         sums.mutable_data_ptr<double>(), sums.stride(0));
}

}  // namespace

void AddColumnSumsCuda(const at::Tensor& queries, const at::Tensor& keys,
                       const at::Tensor& log_sum_exp, int64_t from_query,
                       at::Tensor sums) {
  if (from_query >= queries.size(0)) return;
  TORCH_CHECK(CudaKernelsTake(queries.size(2), queries.size(1) / keys.size(0)));
  TORCH_CHECK(queries.is_contiguous() && log_sum_exp.is_contiguous() &&
              keys.stride(1) == keys.size(2) && keys.stride(2) == 1 &&
              sums.stride(1) == 1);
  const DeviceScope scope(queries.device());
  if (queries.scalar_type() == at::kBFloat16)
    AddSums<c10::BFloat16>(queries, keys, log_sum_exp, from_query, sums);
  else
    AddSums<float>(queries, keys, log_sum_exp, from_query, sums);
}

}  // namespace kvrecall
