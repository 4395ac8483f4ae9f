// The kernels of row_kernels.h over the vector type of simd.h. A kernel file
// includes this once and names the table that it fills.

#include "server/cpu/row_kernels.h"
#include "server/cpu/simd.h"

namespace kvrecall::cpu {
namespace {

// Flipped so that unsigned comparison orders all floats.
inline uint32_t KeyOf(float score) {
  uint32_t bits;
  // +0.0f turns −0 into +0: the two are equal as scores.
  score += 0.0f;
  __builtin_memcpy(&bits, &score, sizeof(bits));
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}

template <typename T>
void Keys(const T* scores, int64_t n, uint32_t* keys, uint32_t* lowest,
          uint32_t* highest) {
  uint32_t least = 0xffffffffu, most = 0;
  for (int64_t j = 0; j < n; ++j) {
    const uint32_t key = KeyOf(static_cast<float>(scores[j]));
    keys[j] = key;
    least = key < least ? key : least;
    most = key > most ? key : most;
  }
  *lowest = least;
  *highest = most;
}

// Sums of `count` floats by lanes, added up in float64 before they grow long.
constexpr int64_t kSpan = 64 * kLanes;

void CountAtLeast(const uint32_t* keys, int64_t n, const uint32_t* thresholds,
                  int budgets, int64_t* counts) {
  for (int b = 0; b < budgets; ++b) {
    const uint32_t threshold = thresholds[b];
    Counters counters[2];
    int64_t j = 0;
    for (; j + 2 * kLanes <= n; j += 2 * kLanes)
      for (int i = 0; i < 2; ++i)
        CountLanesAtLeast(keys + j + i * kLanes, threshold, &counters[i]);
    int64_t count = Total(counters[0]) + Total(counters[1]);
    for (; j < n; ++j) count += keys[j] >= threshold;
    counts[b] = count;
  }
}

int64_t CollectBetween(const uint32_t* keys, int64_t n, uint32_t low,
                       uint32_t high, int32_t* positions) {
  int64_t count = 0;
  int64_t j = 0;
  // Above `high` is at least one more; of the highest key there is no more.
  const bool bounded = high != 0xffffffffu;
  for (; j + kLanes <= n; j += kLanes) {
    uint32_t mask = MaskAtLeast(keys + j, low);
    if (mask == 0) continue;
    if (bounded) mask &= ~MaskAtLeast(keys + j, high + 1);
    StoreIndices(positions + count, mask, static_cast<int32_t>(j));
    count += __builtin_popcount(mask);
  }
  for (; j < n; ++j)
    if (keys[j] >= low && keys[j] <= high)
      positions[count++] = static_cast<int32_t>(j);
  return count;
}

void MarkAtLeast(const uint32_t* keys, int64_t n, const uint32_t* thresholds,
                 const uint16_t* bits, int budgets, uint16_t* masks) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (int b = 0; b < budgets; ++b)
      SetBit(masks + j, MaskAtLeast(keys + j, thresholds[b]), bits[b]);
  for (; j < n; ++j)
    for (int b = 0; b < budgets; ++b)
      if (keys[j] >= thresholds[b])
        masks[j] = static_cast<uint16_t>(masks[j] | bits[b]);
}

// One bit over positions begin … end − 1, at most kSpan of them.
inline double WeighBit(const uint16_t* masks, const uint16_t* other,
                       const float* weights, int64_t begin, int64_t end,
                       uint16_t bit, int64_t* common) {
  Vec lanes = Broadcast(0);
  int64_t count = 0;
  int64_t j = begin;
  for (; j + kLanes <= end; j += kLanes) {
    const uint32_t has = MaskOfBit(masks + j, bit);
    lanes = lanes + LoadWhere(weights + j, has);
    count += __builtin_popcount(
        other == nullptr ? has : has & MaskOfBit(other + j, bit));
  }
  double mass = SumOfLanes(lanes);
  for (; j < end; ++j) {
    if ((masks[j] & bit) == 0) continue;
    mass += weights[j];
    count += other == nullptr || (other[j] & bit) != 0;
  }
  *common += count;
  return mass;
}

void WeighSets(const uint16_t* masks, const uint16_t* other,
               const float* weights, int64_t n, int budgets, int64_t* common,
               double* mass) {
  for (int b = 0; b < budgets; ++b) {
    common[b] = 0;
    mass[b] = 0;
  }
  for (int64_t begin = 0; begin < n; begin += kSpan) {
    const int64_t end = begin + kSpan < n ? begin + kSpan : n;
    for (int b = 0; b < budgets; ++b)
      mass[b] += WeighBit(masks, other, weights, begin, end,
                          static_cast<uint16_t>(1u << b), &common[b]);
  }
}

template <typename T>
int64_t LowestOf(const T* scores, const uint16_t* masks, int64_t n,
                 uint16_t bit) {
  int64_t lowest = -1;
  const auto look = [&](int64_t j) {
    if (lowest < 0 || scores[j] <= scores[lowest]) lowest = j;
  };
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes)
    for (uint32_t m = MaskOfBit(masks + j, bit); m != 0; m &= m - 1)
      look(j + __builtin_ctz(m));
  for (; j < n; ++j)
    if ((masks[j] & bit) != 0) look(j);
  return lowest;
}

// Columns in registers at a time.
constexpr int kMeanVectors = 4;

void MeanOfRows(const float* rows, int64_t stride, int64_t count, int64_t n,
                float* out) {
  const Vec divisor = Broadcast(static_cast<float>(count));
  constexpr int64_t kColumns = kMeanVectors * kLanes;
  int64_t j = 0;
  for (; j + kColumns <= n; j += kColumns) {
    Vec sums[kMeanVectors];
#pragma GCC unroll 4
    for (int i = 0; i < kMeanVectors; ++i)
      sums[i] = Load(rows + j + i * kLanes);
    for (int64_t r = 1; r < count; ++r)
#pragma GCC unroll 4
      for (int i = 0; i < kMeanVectors; ++i)
        sums[i] = sums[i] + Load(rows + r * stride + j + i * kLanes);
#pragma GCC unroll 4
    for (int i = 0; i < kMeanVectors; ++i)
      Store(out + j + i * kLanes, sums[i] / divisor);
  }
  for (; j < n; ++j) {
    float sum = rows[j];
    for (int64_t r = 1; r < count; ++r) sum += rows[r * stride + j];
    out[j] = sum / static_cast<float>(count);
  }
}

// p · log₂ p for p in [0, 1], 0 where p = 0: 0 times anything finite. Log2
// takes normal numbers only, and a weight below the smallest of them counts as
// 0 by definition.
inline Vec TimesLog2(Vec p) { return p * Log2(Max(p, Broadcast(__FLT_MIN__))); }

double RowEntropy(const float* p, int64_t n) {
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kSpan) {
    const int64_t end = begin + kSpan < n ? begin + kSpan : n;
    Vec lanes = Broadcast(0);
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes)
      lanes = lanes + TimesLog2(Load(p + j));
    if (j < end) {
      float padded[kLanes] = {};
      for (int i = 0; j + i < end; ++i) padded[i] = p[j + i];
      lanes = lanes + TimesLog2(Load(padded));
    }
    sum += SumOfLanes(lanes);
  }
  constexpr double kLn2 = 0.693147180559945309;
  return -sum * kLn2;
}

void AddToDoubleRow(const float* row, int64_t n, double* into) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) AddToDoubles(into + j, Load(row + j));
  for (; j < n; ++j) into[j] += row[j];
}

// ---- Logits ---------------------------------------------------------------

struct TwoLargest {
  float largest, second;
  bool finite;
};

inline TwoLargest FindTwoLargest(const float* z, int64_t n) {
  const float lowest = -__builtin_inff();
  Vec first = Broadcast(lowest), second = Broadcast(lowest);
  Vec zeros = Broadcast(0);  // 0 · z: NaN where z is not finite
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Vec v = Load(z + j);
    second = Max(second, Min(first, v));
    first = Max(first, v);
    zeros = zeros + v * Broadcast(0);
  }
  float firsts[kLanes], seconds[kLanes];
  Store(firsts, first);
  Store(seconds, second);
  TwoLargest two = {lowest, lowest, true};
  const auto take = [&](float value) {
    if (value > two.largest) {
      two.second = two.largest;
      two.largest = value;
    } else if (value > two.second) {
      two.second = value;
    }
  };
  float check = SumOfLanes(zeros);
  for (int i = 0; i < kLanes; ++i) take(firsts[i]);
  for (int i = 0; i < kLanes; ++i) take(seconds[i]);
  for (; j < n; ++j) {
    take(z[j]);
    check += z[j] * 0.0f;
  }
  two.finite = check == 0;
  return two;
}

inline void AddExponentials(Vec offset, Vec* sum, Vec* weighted) {
  constexpr float kLog2E = 1.44269504f;
  // Below −1000 the exponential is 0 whatever the offset.
  offset = Max(offset, Broadcast(-1000));
  const Vec e = Exp2(offset * Broadcast(kLog2E));
  *sum = *sum + e;
  *weighted = MulAdd(e, offset, *weighted);
}

LogitSums SumLogits(const float* z, int64_t n) {
  LogitSums sums;
  const TwoLargest two = FindTwoLargest(z, n);
  sums.finite = two.finite;
  if (!two.finite) return sums;
  sums.largest = two.largest;
  sums.second = two.second;
  while (z[sums.best] != two.largest) ++sums.best;
  const Vec largest = Broadcast(two.largest);
  for (int64_t begin = 0; begin < n; begin += kSpan) {
    const int64_t end = begin + kSpan < n ? begin + kSpan : n;
    Vec sum = Broadcast(0), weighted = Broadcast(0);
    int64_t j = begin;
    for (; j + kLanes <= end; j += kLanes)
      AddExponentials(Load(z + j) - largest, &sum, &weighted);
    if (j < end) {
      // Far enough below that the exponential is 0.
      float padded[kLanes];
      for (int i = 0; i < kLanes; ++i)
        padded[i] = j + i < end ? z[j + i] - two.largest : -1000.0f;
      AddExponentials(Load(padded), &sum, &weighted);
    }
    sums.sum += SumOfLanes(sum);
    sums.weighted += SumOfLanes(weighted);
  }
  return sums;
}

// ---- Divergences ----------------------------------------------------------

// Eight float64 numbers, in as many registers as they take.
typedef double Doubles __attribute__((vector_size(64)));
typedef uint64_t DoublesBits __attribute__((vector_size(64)));
typedef float HalfVec __attribute__((vector_size(32)));
constexpr int kDoubles = 8;

inline void Widen(const float* p, Doubles* out) {
  HalfVec narrow;
  __builtin_memcpy(&narrow, p, sizeof(narrow));
  *out = __builtin_convertvector(narrow, Doubles);
}

// e^x in place, for x ≤ 0; below e⁻⁷⁰⁰ what is left is not told apart. 2ⁿ times
// the exponential series of what remains, |r| ≤ ln 2 / 2, whose first term left
// out is 2·10⁻¹⁶ of the whole.
inline void ExpOfNegatives(Doubles* x) {
  constexpr double kLog2E = 1.4426950408889634;
  // ln 2 in two parts: n times the first is exact.
  constexpr double kLn2High = 0.693147180369123816490;
  constexpr double kLn2Low = 1.90821492927058770002e-10;
  // 1.5 · 2⁵²: what is added to it is rounded to a whole number, whose bits
  // are then the sum's lowest.
  constexpr double kRounder = 6755399441055744.0;
  // 1 / k!
  constexpr double kSeries[] = {1.0 / 39916800,
                                1.0 / 3628800,
                                1.0 / 362880,
                                1.0 / 40320,
                                1.0 / 5040,
                                1.0 / 720,
                                1.0 / 120,
                                1.0 / 24,
                                1.0 / 6,
                                1.0 / 2,
                                1,
                                1};
  const Doubles least = Doubles{} - 700;
  const Doubles clamped = *x > least ? *x : least;
  const Doubles shifted = clamped * kLog2E + kRounder;
  const Doubles n = shifted - kRounder;
  const Doubles r = clamped - n * kLn2High - n * kLn2Low;
  Doubles series = Doubles{} + 1.0 / 479001600;
#pragma GCC unroll 12
  for (const double term : kSeries) series = series * r + term;
  const DoublesBits power = (reinterpret_cast<DoublesBits>(shifted) + 1023)
                            << 52;
  *x = series * reinterpret_cast<Doubles>(power);
}

inline double SumOf(const Doubles& a) {
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

// Numbers whose exponentials are kept while the lanes go over them.
constexpr int kDivergenceSpan = 64 * kDoubles;

// The numbers from `begin` on of a list of n; those behind its end are so low
// that they count for nothing. `padded` [kDivergenceSpan] is room for the last.
inline const float* SpanAt(const float* list, int64_t begin, int64_t n,
                           float* padded) {
  if (begin + kDivergenceSpan <= n) return list + begin;
  for (int i = 0; i < kDivergenceSpan; ++i)
    padded[i] = begin + i < n ? list[begin + i] : -1e30f;
  return padded;
}

// exp(z − largest) of a span, and their sum.
inline double KeepExponentials(const float* z, double largest, int vectors,
                               Doubles* kept) {
  Doubles sum = {};
  for (int v = 0; v < vectors; ++v) {
    Widen(z + v * kDoubles, &kept[v]);
    kept[v] -= largest;
    ExpOfNegatives(&kept[v]);
    sum += kept[v];
  }
  return SumOf(sum);
}

void SumDivergences(DivergenceTerms& t) {
  float padded[kDivergenceSpan], padded_lane[kDivergenceSpan];
  Doubles oracle[kDivergenceSpan / kDoubles], own[kDivergenceSpan / kDoubles];
  t.sum = 0;
  for (int64_t lane = 0; lane < t.lanes_count; ++lane)
    t.lane_sums[lane] = t.differences[lane] = 0;
  for (int64_t begin = 0; begin < t.n; begin += kDivergenceSpan) {
    const int64_t left = t.n - begin;
    const int vectors =
        static_cast<int>((left < kDivergenceSpan ? left : kDivergenceSpan) +
                         kDoubles - 1) /
        kDoubles;
    const float* z = SpanAt(t.logits, begin, t.n, padded);
    t.sum += KeepExponentials(z, t.largest, vectors, oracle);
    for (int64_t lane = 0; lane < t.lanes_count; ++lane) {
      const float* y =
          SpanAt(t.lanes + lane * t.lane_stride, begin, t.n, padded_lane);
      t.lane_sums[lane] +=
          KeepExponentials(y, t.lane_largest[lane], vectors, own);
      Doubles difference = {};
      for (int v = 0; v < vectors; ++v) {
        Doubles a, b;
        Widen(z + v * kDoubles, &a);
        Widen(y + v * kDoubles, &b);
        difference += oracle[v] * (a - b);
      }
      t.differences[lane] += SumOf(difference);
    }
  }
}

}  // namespace
}  // namespace kvrecall::cpu

// clang-format off
#define KVRECALL_CPU_ROW_KERNELS                                     \
  {Keys<float>, Keys<double>, CountAtLeast, CollectBetween,          \
   MarkAtLeast, WeighSets, LowestOf<float>, LowestOf<double>,        \
   MeanOfRows, RowEntropy, AddToDoubleRow, SumLogits, SumDivergences}
// clang-format on
