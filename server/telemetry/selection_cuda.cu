// Radix select: a block of threads narrows one row and one budget down, eleven
// bits of the scores at a time, by histograms of integers; then it counts the
// members among equal scores from the front.

#include "server/telemetry/selection_cuda.h"

#include <algorithm>
#include <vector>

#include "ATen/ops/empty.h"
#include "ATen/ops/zeros.h"
#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarpThreads;
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
// Attention crowds into few digits: several histograms, side by side, keep the
// lanes of a warp from waiting for each other at one counter. A word more than
// kDigits apart, the counters of one digit lie in different banks.
constexpr int kCopies = 4;
constexpr int kCopyStride = kDigits + 1;
// So many set sizes travel as an argument of one launch.
constexpr int kBudgetsPerLaunch = 32;

struct SetSizes {
  int k[kBudgetsPerLaunch];
};

// An unsigned integer that is ordered as the number is; −0 and +0 are one.
__device__ __forceinline__ uint32_t OrderedBits(float x) {
  const uint32_t bits = x == 0 ? 0u : __float_as_uint(x);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ uint64_t OrderedBits(double x) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  const uint64_t bits =
      x == 0 ? uint64_t{0} : static_cast<uint64_t>(__double_as_longlong(x));
  return bits & kSign ? ~bits : bits | kSign;
}

template <typename T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using Type = uint32_t;
};
template <>
struct BitsOf<double> {
  using Type = uint64_t;
};

__device__ __forceinline__ float FromOrderedBits(uint32_t bits) {
  return __uint_as_float(bits & 0x80000000u ? bits ^ 0x80000000u : ~bits);
}

__device__ __forceinline__ double FromOrderedBits(uint64_t bits) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  return __longlong_as_double(
      static_cast<long long>(bits & kSign ? bits ^ kSign : ~bits));
}

// Finds, by one warp, the digit that holds the `rank`-th highest (from 1) of
// the histogram's entries, and its rank among that digit's.
__device__ __forceinline__ void FindDigit(const int* histogram, int rank,
                                          int* digit, int* rank_in_digit) {
  constexpr int kPerLane = kDigits / kWarpThreads;
  // Lane 0 has the highest digits.
  const int lane = threadIdx.x % kWarpThreads;
  const int highest = kDigits - 1 - lane * kPerLane;
  int count = 0;
#pragma unroll 8
  for (int i = 0; i < kPerLane; ++i) count += histogram[highest - i];
  int up_to = count;  // entries in this lane's digits and the higher ones
#pragma unroll
  for (int offset = 1; offset < kWarpThreads; offset *= 2) {
    const int other = __shfl_up_sync(kAllLanes, up_to, offset);
    if (lane >= offset) up_to += other;
  }
  int above = up_to - count;
  if (above >= rank || up_to < rank) return;  // one lane stays
#pragma unroll 1
  for (int i = 0; i < kPerLane; ++i) {
    const int here = histogram[highest - i];
    if (above + here >= rank) {
      *digit = highest - i;
      *rank_in_digit = rank - above;
      return;
    }
    above += here;
  }
}

// The position of the `rank`-th (from 1) score, from the front, whose bits are
// `wanted`; for every thread.
template <typename T, typename Bits>
__device__ __forceinline__ int FindPosition(const T* scores, int n, Bits wanted,
                                            int rank, int* warp_counts,
                                            int* found) {
  const int warp = threadIdx.x / kWarpThreads;
  const int lane = threadIdx.x % kWarpThreads;
  for (int base = 0; base < n; base += kThreads) {
    const int i = base + static_cast<int>(threadIdx.x);
    const bool hit = i < n && OrderedBits(scores[i]) == wanted;
    const unsigned hits = __ballot_sync(kAllLanes, hit);
    if (lane == 0) warp_counts[warp] = __popc(hits);
    __syncthreads();
    int before = 0, total = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) before += warp_counts[w];
      total += warp_counts[w];
    }
    before += __popc(hits & ((1u << lane) - 1));
    if (hit && before == rank - 1) *found = i;
    __syncthreads();
    if (total >= rank) return *found;
    rank -= total;
  }
  return n - 1;  // not reached: there are `rank` such scores
}

// Grid: rows, budgets. values and positions [R, budgets].
template <typename T>
__global__ void __launch_bounds__(kThreads)
    SelectTop(const T* scores, int64_t stride, int n, const SetSizes sizes,
              int first_budget, int budgets, T* values, int64_t* positions) {
  using Bits = typename BitsOf<T>::Type;
  constexpr int kBits = static_cast<int>(sizeof(Bits)) * 8;
  __shared__ int histograms[kCopies * kCopyStride];
  __shared__ int warp_counts[kWarps];
  __shared__ int digit, rank_in_digit, found;
  const T* row = scores + blockIdx.x * stride;
  int rank = sizes.k[blockIdx.y];
  Bits prefix = 0;  // the bits found so far, in place
  Bits known = 0;   // which bits those are

#pragma unroll 1
  for (int top = kBits; top > 0;) {
    const int shift = max(top - kDigitBits, 0);
    const int digit_mask = (1 << (top - shift)) - 1;
    for (int i = threadIdx.x; i < kCopies * kCopyStride; i += kThreads)
      histograms[i] = 0;
    __syncthreads();
    int* mine = histograms + threadIdx.x % kCopies * kCopyStride;
#pragma unroll 4
    for (int i = threadIdx.x; i < n; i += kThreads) {
      const Bits bits = OrderedBits(row[i]);
      if ((bits & known) == prefix)
        atomicAdd(&mine[static_cast<int>(bits >> shift) & digit_mask], 1);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < kDigits; i += kThreads)
      for (int c = 1; c < kCopies; ++c)
        histograms[i] += histograms[c * kCopyStride + i];
    __syncthreads();
    if (threadIdx.x < kWarpThreads)
      FindDigit(histograms, rank, &digit, &rank_in_digit);
    __syncthreads();
    rank = rank_in_digit;
    prefix |= static_cast<Bits>(digit) << shift;
    known |= static_cast<Bits>(digit_mask) << shift;
    top = shift;
  }
  const int position = FindPosition(row, n, prefix, rank, warp_counts, &found);
  if (threadIdx.x == 0) {
    const int64_t place =
        static_cast<int64_t>(blockIdx.x) * budgets + first_budget + blockIdx.y;
    values[place] = FromOrderedBits(prefix);
    positions[place] = position;
  }
}

template <typename T>
__device__ __forceinline__ bool IsMember(T score, int position, T value,
                                         int64_t last) {
  return score > value || (score == value && position <= last);
}

// masks[j] gets a budget's bit where the position is a member.
template <typename T>
struct MarkArgs {
  const T* scores;
  int64_t score_stride;
  const T* values;           // [R, B]
  const int64_t* positions;  // [R, B]
  int16_t* masks;
  int64_t mask_stride;
  int n, budgets;
  uint16_t bits[kMostBudgets];
};

// Grid: spans of kThreads positions, rows.
template <typename T>
__global__ void __launch_bounds__(kThreads) MarkMembers(const MarkArgs<T> a) {
  const int j = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (j >= a.n) return;
  const T score = a.scores[blockIdx.y * a.score_stride + j];
  unsigned mask = 0;
  for (int b = 0; b < a.budgets; ++b) {
    const int64_t place = static_cast<int64_t>(blockIdx.y) * a.budgets + b;
    if (IsMember(score, j, a.values[place], a.positions[place]))
      mask |= a.bits[b];
  }
  int16_t* out = a.masks + blockIdx.y * a.mask_stride + j;
  *out = static_cast<int16_t>(static_cast<uint16_t>(*out) | mask);
}

struct WeighArgs {
  const float* weights;
  int64_t weight_stride;
  const int16_t* masks;
  int64_t mask_stride;
  const int16_t* other;  // or null
  int64_t other_stride;
  const int16_t* fetched;  // or null
  int64_t fetched_stride;
  double* figures;  // [kSetFigures, R, B]
  int n;
};

// Grid: rows, budgets.
__global__ void __launch_bounds__(kThreads) WeighMembers(const WeighArgs a) {
  // One for each sum: a warp may be ahead of what another still reads.
  __shared__ int counts[4][kWarps];
  __shared__ double masses[kWarps];
  const int bit = 1 << blockIdx.y;
  const int64_t row = blockIdx.x;
  const auto has = [&](const int16_t* masks, int64_t stride, int j) {
    return (static_cast<uint16_t>(masks[row * stride + j]) & bit) != 0;
  };
  int common = 0, common_earned = 0, earned = 0, fetched = 0;
  double mass = 0;
  for (int j = threadIdx.x; j < a.n; j += kThreads) {
    if (a.fetched != nullptr && j < a.n - 1)
      fetched += has(a.fetched, a.fetched_stride, j);
    if (!has(a.masks, a.mask_stride, j)) continue;
    mass += a.weights[row * a.weight_stride + j];
    const bool free = j < kFirstFree || j >= a.n - kLastFree;
    const bool both = a.other != nullptr && has(a.other, a.other_stride, j);
    earned += !free;
    common += both;
    common_earned += both && !free;
  }
  const auto put = [&](SetFigure figure, double value) {
    if (threadIdx.x == 0)
      a.figures[(static_cast<int64_t>(figure) * gridDim.x + row) * gridDim.y +
                blockIdx.y] = value;
  };
  put(kCommon, BlockSum(common, counts[0]));
  put(kCommonEarned, BlockSum(common_earned, counts[1]));
  put(kEarned, BlockSum(earned, counts[2]));
  put(kFetched, BlockSum(fetched, counts[3]));
  put(kMass, BlockSum(mass, masses));
  put(kHasLast, has(a.masks, a.mask_stride, a.n - 1) ? 1 : 0);
}

template <typename T>
void Select(const at::Tensor& scores, std::span<const int64_t> ks,
            const Thresholds& out) {
  const int budgets = static_cast<int>(ks.size());
  for (int first = 0; first < budgets; first += kBudgetsPerLaunch) {
    const int count = std::min(kBudgetsPerLaunch, budgets - first);
    SetSizes sizes{};
    for (int b = 0; b < count; ++b) {
      TORCH_CHECK(ks[first + b] >= 1 && ks[first + b] <= scores.size(1));
      sizes.k[b] = static_cast<int>(ks[first + b]);
    }
    Launch(SelectTop<T>, dim3(scores.size(0), count), dim3(kThreads), 0,
           scores.const_data_ptr<T>(), scores.stride(0),
           static_cast<int>(scores.size(1)), sizes, first, budgets,
           out.values.mutable_data_ptr<T>(),
           out.positions.mutable_data_ptr<int64_t>());
  }
}

template <typename T>
void Mark(const at::Tensor& scores, const Thresholds& thresholds,
          std::span<const uint16_t> bits, const at::Tensor& masks) {
  MarkArgs<T> args{scores.const_data_ptr<T>(),
                   scores.stride(0),
                   thresholds.values.const_data_ptr<T>(),
                   thresholds.positions.const_data_ptr<int64_t>(),
                   masks.mutable_data_ptr<int16_t>(),
                   masks.stride(0),
                   static_cast<int>(scores.size(1)),
                   static_cast<int>(bits.size()),
                   {}};
  std::copy(bits.begin(), bits.end(), args.bits);
  Launch(MarkMembers<T>,
         dim3(CeilDiv(scores.size(1), kThreads), scores.size(0)),
         dim3(kThreads), 0, args);
}

bool IsDouble(const at::Tensor& scores) {
  const at::ScalarType dtype = scores.scalar_type();
  TORCH_CHECK(scores.dim() == 2 && scores.stride(1) == 1 &&
              (dtype == at::kFloat || dtype == at::kDouble));
  return dtype == at::kDouble;
}

}  // namespace

Thresholds SelectTopCuda(const at::Tensor& scores,
                         std::span<const int64_t> ks) {
  const bool is_double = IsDouble(scores);
  const DeviceScope scope(scores.device());
  const std::vector<int64_t> shape = {scores.size(0),
                                      static_cast<int64_t>(ks.size())};
  Thresholds out;
  out.values = at::empty(shape, scores.options());
  out.positions = at::empty(shape, scores.options().dtype(at::kLong));
  if (is_double)
    Select<double>(scores, ks, out);
  else
    Select<float>(scores, ks, out);
  return out;
}

void MarkMembersCuda(const at::Tensor& scores, const Thresholds& thresholds,
                     std::span<const uint16_t> bits, const at::Tensor& masks) {
  TORCH_CHECK(masks.scalar_type() == at::kShort && masks.stride(1) == 1 &&
              masks.size(1) >= scores.size(1) && bits.size() <= kMostBudgets);
  const bool is_double = IsDouble(scores);
  const DeviceScope scope(scores.device());
  if (scores.numel() == 0) return;
  if (is_double)
    Mark<double>(scores, thresholds, bits, masks);
  else
    Mark<float>(scores, thresholds, bits, masks);
}

at::Tensor WeighMembersCuda(const at::Tensor& weights, const at::Tensor& masks,
                            const at::Tensor& other, const at::Tensor& fetched,
                            int budgets) {
  TORCH_CHECK(!IsDouble(weights) && masks.scalar_type() == at::kShort &&
              masks.stride(1) == 1);
  const DeviceScope scope(weights.device());
  const at::Tensor figures = at::zeros({kSetFigures, weights.size(0), budgets},
                                       weights.options().dtype(at::kDouble));
  WeighArgs args{};
  args.weights = weights.const_data_ptr<float>();
  args.weight_stride = weights.stride(0);
  args.masks = masks.const_data_ptr<int16_t>();
  args.mask_stride = masks.stride(0);
  if (other.defined()) {
    args.other = other.const_data_ptr<int16_t>();
    args.other_stride = other.stride(0);
  }
  if (fetched.defined()) {
    args.fetched = fetched.const_data_ptr<int16_t>();
    args.fetched_stride = fetched.stride(0);
  }
  args.figures = figures.mutable_data_ptr<double>();
  args.n = static_cast<int>(weights.size(1));
  Launch(WeighMembers, dim3(weights.size(0), budgets), dim3(kThreads), 0, args);
  return figures;
}

}  // namespace kvrecall
