// A block of threads has one row of one job, for all its budgets.
//
// Sets that are chosen anew: radix select narrows the K-th highest score down,
// eleven bits at a time, by histograms of integers. Budgets that have come to
// the same bits share a histogram, so one reading of the row serves up to four
// different ones; a budget is done as soon as all scores with its bits belong
// to the set. Where equal scores are cut, they are counted from the front.
//
// Sets that go on from held ones: the lowest of what is held goes.
//
// Then one more reading stores and weighs the sets.

#include "server/telemetry/selection_cuda.h"

#include <climits>

#include "c10/util/Exception.h"

#include "server/cuda_device.cuh"
#include "server/cuda_launch.cuh"

namespace kvrecall {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarpThreads;
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kDigitsPerLane = kDigits / kWarpThreads;
// So many lie in shared memory at a time: one for each group of budgets, or
// copies of fewer, since attention crowds into few digits, where the lanes of a
// warp would wait for each other at one counter.
constexpr int kHistograms = 4;
// A word more than they need apart, the copies' counters of one digit lie in
// different banks.
constexpr int kHistogramWords = kDigits + kWarpThreads + 1;
// Budgets whose sums a thread holds at once.
constexpr int kAtOnce = 4;
static_assert(kMostBudgets <= kWarps && kMostBudgets <= kWarpThreads);

// Where a digit's counter lies: the digits of one lane begin in a bank of their
// own.
__device__ __forceinline__ int Slot(int digit) {
  return digit + digit / kDigitsPerLane;
}

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
using BitsOf = decltype(OrderedBits(T{}));

// Where one budget's set ends in the order. Among the first `count` positions a
// member has more than `prefix` in the bits that are known, or just that and a
// position up to `last_equal`; from `from` on all are members.
struct Cut {
  uint64_t prefix;
  uint64_t known;
  int last_equal;
  int count;
  int from;
  int rank;   // of the score that is sought, from 1, among those with prefix
  bool open;  // more bits are needed
};

struct Shared {
  int histograms[kHistograms * kHistogramWords];
  Cut cuts[kMostBudgets];
  int group_of[kMostBudgets];  // of open budgets
  int leaders[kMostBudgets];   // the first budget of each group
  int groups;
  int warp_counts[kWarps];
  int found;
  uint64_t lowest_bits[kWarps][kAtOnce];
  int lowest_positions[kWarps][kAtOnce];
  double sums[kWarps][kAtOnce][kSetFigures];
};

// One row of one job.
template <typename T>
struct Row {
  const DeviceSetJob& job;
  const int32_t* numbers;
  int64_t index;  // of the job's rows
  const T* scores;
  const float* weights;
  const int16_t* other;
  int16_t* held;

  __device__ Row(const DeviceSetJob& j, const int32_t* all_numbers, int64_t r)
      : job(j),
        numbers(all_numbers),
        index(r),
        scores(static_cast<const T*>(j.scores) + r * j.score_stride),
        weights(j.weights + r * j.weight_stride),
        other(j.other == nullptr ? nullptr : j.other + r * j.other_stride),
        held(j.held == nullptr ? nullptr : j.held + r * j.held_stride) {}

  __device__ int Size(int b) const {
    return numbers[job.sizes + index * job.size_stride + b];
  }
  // How many of the last positions come before all others.
  __device__ int Last(int b) const {
    return min(numbers[job.last + b * job.last_stride], job.n);
  }
};

// --- sets that are chosen anew -----------------------------------------------

// By one warp: the digit that holds the `rank`-th highest (from 1) of the
// histogram's entries, its rank among that digit's, and how many those are; for
// every lane.
__device__ __forceinline__ void FindDigit(const int* histogram, int& rank,
                                          int& digit, int& entries) {
  // Lane 0 has the highest digits.
  const int lane = threadIdx.x % kWarpThreads;
  const int highest = kDigits - 1 - lane * kDigitsPerLane;
  int count = 0;
#pragma unroll 8
  for (int i = 0; i < kDigitsPerLane; ++i)
    count += histogram[Slot(highest - i)];
  int up_to = count;  // entries in this lane's digits and the higher ones
#pragma unroll
  for (int offset = 1; offset < kWarpThreads; offset *= 2) {
    const int lower = __shfl_up_sync(kAllLanes, up_to, offset);
    if (lane >= offset) up_to += lower;
  }
  int above = up_to - count;
  const bool mine = above < rank && rank <= up_to;
  int here = 0, i = 0;
  if (mine)
    for (; i < kDigitsPerLane; ++i) {
      here = histogram[Slot(highest - i)];
      if (above + here >= rank) break;
      above += here;
    }
  const int source = __ffs(__ballot_sync(kAllLanes, mine)) - 1;
  digit = __shfl_sync(kAllLanes, highest - i, source);
  entries = __shfl_sync(kAllLanes, here, source);
  rank -= __shfl_sync(kAllLanes, above, source);
}

// By the first warp, a lane for each budget: open budgets with the same bits
// and candidates form a group.
__device__ __forceinline__ void FormGroups(int budgets, Shared& s) {
  const int b = threadIdx.x;
  const bool open = b < budgets && s.cuts[b].open;
  int leader = b;
  if (open)
    for (int i = b - 1; i >= 0; --i)
      if (s.cuts[i].open && s.cuts[i].prefix == s.cuts[b].prefix &&
          s.cuts[i].count == s.cuts[b].count)
        leader = i;
  const unsigned leaders = __ballot_sync(kAllLanes, open && leader == b);
  const int group = __popc(leaders & ((1u << leader) - 1));
  if (open) s.group_of[b] = group;
  if (open && leader == b) s.leaders[group] = b;
  if (b == 0) s.groups = __popc(leaders);
}

// Counts the digits at `shift` of the scores that the groups from `first` on
// are still looking among: group first + g at g · copies. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void CountDigits(const T* scores, int first,
                                            int groups, int copies, int shift,
                                            int digit_mask, Shared& s) {
  using Bits = BitsOf<T>;
  for (int i = threadIdx.x; i < kHistograms * kHistogramWords; i += kThreads)
    s.histograms[i] = 0;
  Bits prefixes[kHistograms];
  int counts[kHistograms];
  Bits known = 0;
  int most = 0;
#pragma unroll
  for (int g = 0; g < kHistograms; ++g) {
    prefixes[g] = 0;
    counts[g] = 0;
    if (g >= groups) continue;
    const Cut& cut = s.cuts[s.leaders[first + g]];
    prefixes[g] = static_cast<Bits>(cut.prefix);
    counts[g] = cut.count;
    known = static_cast<Bits>(cut.known);  // alike in all that are open
    most = max(most, cut.count);
  }
  __syncthreads();
  int* const mine =
      s.histograms + static_cast<int>(threadIdx.x) % copies * kHistogramWords;
#pragma unroll 4
  for (int i = threadIdx.x; i < most; i += kThreads) {
    const Bits bits = OrderedBits(scores[i]);
    const int slot = Slot(static_cast<int>(bits >> shift) & digit_mask);
#pragma unroll
    for (int g = 0; g < kHistograms; ++g)
      if (i < counts[g] && (bits & known) == prefixes[g])
        atomicAdd(&mine[g * copies * kHistogramWords + slot], 1);
  }
  __syncthreads();
  if (copies == 1) return;
  for (int i = threadIdx.x; i < groups * kHistogramWords; i += kThreads) {
    int* const first_copy = s.histograms +
                            i / kHistogramWords * copies * kHistogramWords +
                            i % kHistogramWords;
    for (int c = 1; c < copies; ++c)
      *first_copy += first_copy[c * kHistogramWords];
  }
  __syncthreads();
}

// The position of the `rank`-th (from 1) of the first `count` scores, from the
// front, whose bits are `wanted`; for every thread.
template <typename T>
__device__ __forceinline__ int FindPosition(const T* scores, int count,
                                            BitsOf<T> wanted, int rank,
                                            Shared& s) {
  const int warp = threadIdx.x / kWarpThreads;
  const int lane = threadIdx.x % kWarpThreads;
  for (int base = 0; base < count; base += kThreads) {
    const int i = base + static_cast<int>(threadIdx.x);
    const bool hit = i < count && OrderedBits(scores[i]) == wanted;
    const unsigned hits = __ballot_sync(kAllLanes, hit);
    if (lane == 0) s.warp_counts[warp] = __popc(hits);
    __syncthreads();
    int before = 0, total = 0;
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) before += s.warp_counts[w];
      total += s.warp_counts[w];
    }
    before += __popc(hits & ((1u << lane) - 1));
    if (hit && before == rank - 1) s.found = i;
    __syncthreads();
    if (total >= rank) return s.found;
    rank -= total;
  }
  return count - 1;  // not reached: there are `rank` such scores
}

// Finds every budget's cut. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void FindCuts(const Row<T>& row, Shared& s) {
  constexpr int kBits = static_cast<int>(sizeof(T)) * 8;
  const int budgets = row.job.budgets;
  const int warp = threadIdx.x / kWarpThreads;
  if (threadIdx.x < budgets) {
    const int b = threadIdx.x, last = row.Last(b), size = row.Size(b);
    Cut cut{};
    cut.from = row.job.n - min(last, size);
    // Nothing is left to choose where the last positions are all there is.
    cut.open = size > last;
    cut.count = cut.open ? row.job.n - last : 0;
    cut.rank = size - last;
    cut.last_equal = INT_MAX;
    s.cuts[b] = cut;
  }
  __syncthreads();
#pragma unroll 1
  for (int top = kBits; top > 0;) {
    const int shift = max(top - kDigitBits, 0);
    const int digit_mask = (1 << (top - shift)) - 1;
    if (warp == 0) FormGroups(budgets, s);
    __syncthreads();
    const int groups = s.groups;
    if (groups == 0) break;
#pragma unroll 1
    for (int first = 0; first < groups; first += kHistograms) {
      const int count = min(kHistograms, groups - first);
      const int copies = kHistograms / count;
      CountDigits(row.scores, first, count, copies, shift, digit_mask, s);
      if (warp < budgets && s.cuts[warp].open && s.group_of[warp] >= first &&
          s.group_of[warp] < first + count) {
        const int* histogram = s.histograms + (s.group_of[warp] - first) *
                                                  copies * kHistogramWords;
        int rank = s.cuts[warp].rank, digit, entries;
        FindDigit(histogram, rank, digit, entries);
        if (threadIdx.x % kWarpThreads == 0) {
          Cut& cut = s.cuts[warp];
          cut.prefix |= static_cast<uint64_t>(digit) << shift;
          cut.known |= static_cast<uint64_t>(digit_mask) << shift;
          cut.rank = rank;
          // All that are left are members.
          if (rank == entries) cut.open = false;
        }
      }
      __syncthreads();
    }
    top = shift;
  }
  // What is open now is cut among equal scores.
#pragma unroll 1
  for (int b = 0; b < budgets; ++b) {
    if (!s.cuts[b].open) continue;
    const int position = FindPosition(row.scores, s.cuts[b].count,
                                      static_cast<BitsOf<T>>(s.cuts[b].prefix),
                                      s.cuts[b].rank, s);
    if (threadIdx.x == 0) s.cuts[b].last_equal = position;
  }
  __syncthreads();
}

// The cuts of kAtOnce budgets, held by each thread.
template <typename T>
struct Cuts {
  BitsOf<T> prefix[kAtOnce], known[kAtOnce];
  int last_equal[kAtOnce], count[kAtOnce], from[kAtOnce];
  int most = 0;  // positions whose scores matter

  __device__ Cuts(const Shared& s, int first, int budgets) {
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      Cut cut{};
      cut.from = INT_MAX;  // an empty set
      if (first + i < budgets) cut = s.cuts[first + i];
      prefix[i] = static_cast<BitsOf<T>>(cut.prefix);
      known[i] = static_cast<BitsOf<T>>(cut.known);
      last_equal[i] = cut.last_equal;
      count[i] = cut.count;
      from[i] = cut.from;
      most = max(most, cut.count);
    }
  }

  // Bit i: the position belongs to the set of budget i.
  __device__ __forceinline__ unsigned Members(const T* scores, int j) const {
    const BitsOf<T> bits = j < most ? OrderedBits(scores[j]) : 0;
    unsigned members = 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const BitsOf<T> seen = bits & known[i];
      const bool member =
          j >= from[i] ||
          (j < count[i] &&
           (seen > prefix[i] || (seen == prefix[i] && j <= last_equal[i])));
      members |= static_cast<unsigned>(member) << i;
    }
    return members;
  }
};

// --- sets that go on from held ones ------------------------------------------

// Of two positions the one that goes first: the lower score, then the higher
// position.
__device__ __forceinline__ void KeepLower(uint64_t bits, int position,
                                          uint64_t& lowest, int& where) {
  if (bits < lowest || (bits == lowest && position > where)) {
    lowest = bits;
    where = position;
  }
}

// Takes the lowest of what each of the budgets from `first` on holds, where it
// still has more than its size when `dropped` are gone. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void DropLowest(const Row<T>& row, int first,
                                           int dropped, Shared& s) {
  const int warp = threadIdx.x / kWarpThreads;
  int counts[kAtOnce], where[kAtOnce];
  uint64_t lowest[kAtOnce];
  int most = 0;
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
    const int b = first + i;
    const bool drops = b < row.job.budgets &&
                       row.numbers[row.job.had + b] + 1 - dropped > row.Size(b);
    counts[i] = drops ? row.job.n - row.Last(b) : 0;
    most = max(most, counts[i]);
    lowest[i] = ~uint64_t{0};
    where[i] = -1;
  }
  for (int j = threadIdx.x; j < most; j += kThreads) {
    const unsigned held = static_cast<uint16_t>(row.held[j]) >> first;
    if (held % (1u << kAtOnce) == 0) continue;
    const uint64_t bits = OrderedBits(row.scores[j]);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i)
      if ((held >> i & 1) != 0 && j < counts[i])
        KeepLower(bits, j, lowest[i], where[i]);
  }
#pragma unroll
  for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
    for (int offset = kWarpThreads / 2; offset > 0; offset /= 2)
      KeepLower(__shfl_xor_sync(kAllLanes, lowest[i], offset),
                __shfl_xor_sync(kAllLanes, where[i], offset), lowest[i],
                where[i]);
    if (threadIdx.x % kWarpThreads == 0) {
      s.lowest_bits[warp][i] = lowest[i];
      s.lowest_positions[warp][i] = where[i];
    }
  }
  __syncthreads();
  // One thread: several budgets may drop one position, whose bits are a word.
  if (threadIdx.x == 0)
    for (int i = 0; i < kAtOnce; ++i) {
      uint64_t bits = ~uint64_t{0};
      int position = -1;
      for (int w = 0; w < kWarps; ++w)
        KeepLower(s.lowest_bits[w][i], s.lowest_positions[w][i], bits,
                  position);
      if (position >= 0)
        row.held[position] =
            static_cast<int16_t>(row.held[position] & ~(1u << (first + i)));
    }
  __syncthreads();
}

// Brings the held sets up to this step. Ends with a barrier.
template <typename T>
__device__ __forceinline__ void GoOnFromHeld(const Row<T>& row, Shared& s) {
  const int budgets = row.job.budgets;
  if (threadIdx.x == 0)
    row.held[row.job.n - 1] = static_cast<int16_t>((1u << budgets) - 1);
  __syncthreads();
#pragma unroll 1
  for (int first = 0; first < budgets; first += kAtOnce) {
    int drops = 0;
    for (int b = first; b < min(first + kAtOnce, budgets); ++b)
      drops = max(drops, row.numbers[row.job.had + b] + 1 - row.Size(b));
#pragma unroll 1
    for (int d = 0; d < drops; ++d) DropLowest(row, first, d, s);
  }
}

// --- what the sets are worth -------------------------------------------------

// The figures of kAtOnce budgets, as far as one thread has seen the row.
struct Tally {
  double mass[kAtOnce] = {};
  int common[kAtOnce] = {}, common_earned[kAtOnce] = {}, earned[kAtOnce] = {};
  int has_last[kAtOnce] = {}, fetched[kAtOnce] = {};

  // Bit i of each: budget i has the position.
  __device__ __forceinline__ void Add(int j, int n, float weight,
                                      unsigned members, unsigned other,
                                      unsigned new_ones) {
    const bool free = j < kFirstFree || j >= n - kLastFree;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int in = members >> i & 1, both = in & (other >> i & 1);
      if (in != 0) mass[i] += weight;
      earned[i] += free ? 0 : in;
      common[i] += both;
      common_earned[i] += free ? 0 : both;
      has_last[i] += j == n - 1 ? in : 0;
      fetched[i] += j == n - 1 ? 0 : new_ones >> i & 1;
    }
  }

  // The block's sums to the job's figures. Ends with a barrier.
  __device__ void Store(const DeviceSetJob& job, int64_t row, int first,
                        Shared& s) const {
    const int warp = threadIdx.x / kWarpThreads;
    const auto put = [&](int i, SetFigure figure, auto value) {
      value = WarpSum(value);
      if (threadIdx.x % kWarpThreads == 0)
        s.sums[warp][i][figure] = static_cast<double>(value);
    };
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      put(i, kCommon, common[i]);
      put(i, kCommonEarned, common_earned[i]);
      put(i, kEarned, earned[i]);
      put(i, kMass, mass[i]);
      put(i, kHasLast, has_last[i]);
      put(i, kFetched, fetched[i]);
    }
    __syncthreads();
    const int i = static_cast<int>(threadIdx.x) / kSetFigures;
    const int figure = static_cast<int>(threadIdx.x) % kSetFigures;
    if (i < kAtOnce && first + i < job.budgets) {
      double sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += s.sums[w][i][figure];
      job.figures[(figure * static_cast<int64_t>(job.rows) + row) *
                      job.budgets +
                  first + i] = sum;
    }
    __syncthreads();
  }
};

template <typename T>
__device__ __forceinline__ void FormRow(const Row<T>& row, Shared& s) {
  const DeviceSetJob& job = row.job;
  const bool goes_on = job.had >= 0;
  if (goes_on)
    GoOnFromHeld(row, s);
  else
    FindCuts(row, s);
  constexpr unsigned kOnes = (1u << kAtOnce) - 1;
#pragma unroll 1
  for (int first = 0; first < job.budgets; first += kAtOnce) {
    const unsigned mask = kOnes << first;
    const auto part = [&](const int16_t* masks, int j) {
      return masks == nullptr
                 ? 0u
                 : static_cast<uint16_t>(masks[j]) >> first & kOnes;
    };
    Tally tally;
    if (goes_on) {
      for (int j = threadIdx.x; j < job.n; j += kThreads)
        tally.Add(j, job.n, row.weights[j], part(row.held, j),
                  part(row.other, j), 0);
    } else {
      const Cuts<T> cuts(s, first, job.budgets);
      for (int j = threadIdx.x; j < job.n; j += kThreads) {
        const unsigned members = cuts.Members(row.scores, j);
        const unsigned before = part(row.held, j);
        if (row.held != nullptr)
          row.held[j] = static_cast<int16_t>(
              (static_cast<uint16_t>(row.held[j]) & ~mask) | members << first);
        tally.Add(j, job.n, row.weights[j], members, part(row.other, j),
                  job.count_fetched != 0 ? members & ~before : 0);
      }
    }
    tally.Store(job, row.index, first, s);
  }
}

// Grid: the rows of all jobs.
// Two blocks a multiprocessor: while one waits at a barrier, the other works.
__global__ void __launch_bounds__(kThreads, 2)
    FormRows(const DeviceSetJob* jobs, int count, const int32_t* numbers) {
  __shared__ Shared shared;
  const int row = static_cast<int>(blockIdx.x);
  int i = 0;
  while (i + 1 < count && row >= jobs[i + 1].first_row) ++i;
  const DeviceSetJob job = jobs[i];  // not looked up again after each store
  if (job.is_double != 0)
    FormRow(Row<double>(job, numbers, row - job.first_row), shared);
  else
    FormRow(Row<float>(job, numbers, row - job.first_row), shared);
}

}  // namespace

void FormRowsCuda(const at::Tensor& jobs, int64_t count, int64_t rows) {
  static_assert(sizeof(DeviceSetJob) % alignof(DeviceSetJob) == 0);
  TORCH_CHECK(jobs.scalar_type() == at::kByte &&
              jobs.numel() >= count * int64_t{sizeof(DeviceSetJob)});
  if (rows == 0) return;
  const DeviceScope scope(jobs.device());
  const uint8_t* bytes = jobs.const_data_ptr<uint8_t>();
  Launch(
      FormRows, dim3(rows), dim3(kThreads), 0,
      reinterpret_cast<const DeviceSetJob*>(bytes), static_cast<int>(count),
      reinterpret_cast<const int32_t*>(bytes + count * sizeof(DeviceSetJob)));
}

}  // namespace kvrecall
