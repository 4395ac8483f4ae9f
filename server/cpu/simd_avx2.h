// Sixteen floats in two AVX registers. Included once per kernel file, in its
// anonymous namespace, by simd.h.

struct Vec {
  __m256 low, high;
};
// Accumulators of a matrix product, in 16 registers.
constexpr int kMr = 5;
constexpr int kNv = 1;

inline Vec Load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
// Moves bits; a pair of bfloat16 numbers is no float. Registers may be loaded
// from and stored to numbers of any type.
inline Vec LoadPairs(const uint32_t* p) {
  return Load(reinterpret_cast<const float*>(p));
}
inline void Store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline Vec Broadcast(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Vec Max(Vec a, Vec b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
inline Vec Min(Vec a, Vec b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline __m256 Exponent(__m256 a) {
  const __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(a), 23);
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(biased, _mm256_set1_epi32(127)));
}
inline __m256 Mantissa(__m256 a) {
  const __m256i fraction =
      _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffff));
  return _mm256_castsi256_ps(
      _mm256_or_si256(fraction, _mm256_set1_epi32(0x3f800000)));
}
// a = mantissa · 2^exponent, 1 ≤ mantissa < 2, for normal a > 0.
inline Vec Exponent(Vec a) { return {Exponent(a.low), Exponent(a.high)}; }
inline Vec Mantissa(Vec a) { return {Mantissa(a.low), Mantissa(a.high)}; }
// a · b + c, rounded once.
inline Vec MulAdd(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.low, b.low, c.low),
          _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline Vec Round(Vec a) {
  constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}

inline __m256 TimesPowerOfTwo(__m256 a, __m256 n) {
  // In two factors, so that −252 … 254 stays in range.
  n = _mm256_max_ps(_mm256_min_ps(n, _mm256_set1_ps(252)),
                    _mm256_set1_ps(-252));
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 first =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const __m256 second =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a, first), second);
}
// a · 2^n for whole n; 0 where that underflows.
inline Vec TimesPowerOfTwo(Vec a, Vec n) {
  return {TimesPowerOfTwo(a.low, n.low), TimesPowerOfTwo(a.high, n.high)};
}

inline __m256 Select(uint32_t bits, __m256 a, __m256 b) {
  const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const __m256i set =
      _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
  return _mm256_blendv_ps(b, a,
                          _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane)));
}
// a where the lane's bit is set, else b.
inline Vec Select(uint32_t bits, Vec a, Vec b) {
  return {Select(bits, a.low, b.low), Select(bits >> 8, a.high, b.high)};
}

inline float LargestLane(Vec a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight),
                           _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}
inline float SumOfLanes(Vec a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight),
                           _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

inline uint32_t EightAtLeast(const uint32_t* keys, __m256i threshold) {
  const __m256i k = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys));
  // Unsigned: the larger of the two is the key.
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(
      _mm256_cmpeq_epi32(_mm256_max_epu32(k, threshold), k))));
}
// Bit i is set where keys[i] ≥ threshold, i < 16.
inline uint32_t MaskAtLeast(const uint32_t* keys, uint32_t threshold) {
  const __m256i t = _mm256_set1_epi32(static_cast<int>(threshold));
  return EightAtLeast(keys, t) | EightAtLeast(keys + 8, t) << 8;
}
// How many keys are at least a threshold.
struct Counters {
  int64_t count = 0;
};
inline void CountLanesAtLeast(const uint32_t* keys, uint32_t threshold,
                              Counters* counters) {
  counters->count += __builtin_popcount(MaskAtLeast(keys, threshold));
}
inline int64_t Total(const Counters& counters) { return counters.count; }

// first, first + 1 … where `mask` has bits 0, 1 …, one behind the other;
// positions [16] may be overwritten whole.
inline void StoreIndices(int32_t* positions, uint32_t mask, int32_t first) {
  for (; mask != 0; mask &= mask - 1)
    *positions++ = first + __builtin_ctz(mask);
}

// Bit i is set where masks[i] has the bits of `bit`, i < 16.
inline uint32_t MaskOfBit(const uint16_t* masks, uint16_t bit) {
  const __m256i wanted = _mm256_set1_epi16(static_cast<short>(bit));
  const __m256i m = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(masks));
  const __m256i has = _mm256_cmpeq_epi16(_mm256_and_si256(m, wanted), wanted);
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(
      _mm256_castsi256_si128(has), _mm256_extracti128_si256(has, 1))));
}
// All ones in the eight lanes whose bit of `mask` is set.
inline __m256i EightLanes(uint32_t mask) {
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  return _mm256_cmpeq_epi32(
      _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(mask)), bits), bits);
}
// masks[i] gets `bit` where `mask` has bit i.
inline void SetBit(uint16_t* masks, uint32_t mask, uint16_t bit) {
  for (int i = 0; i < kLanes; ++i)
    masks[i] =
        static_cast<uint16_t>(masks[i] | ((mask >> i & 1) != 0 ? bit : 0));
}
// p[i] where `mask` has bit i, else 0.
inline Vec LoadWhere(const float* p, uint32_t mask) {
  return {_mm256_maskload_ps(p, EightLanes(mask)),
          _mm256_maskload_ps(p + 8, EightLanes(mask >> 8))};
}

inline __m256 WidenBfloat16(const Bfloat16* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(
      _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
inline Vec LoadBfloat16(const Bfloat16* p) {
  return {WidenBfloat16(p), WidenBfloat16(p + 8)};
}

inline __m256i LoadEightPairs(const uint32_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
// Of sixteen pairs of bfloat16 numbers, those in the low and in the high
// halves.
inline Vec FirstsOfPairs(const uint32_t* p) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(LoadEightPairs(p), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(LoadEightPairs(p + 8), 16))};
}
inline Vec SecondsOfPairs(const uint32_t* p) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  return {_mm256_castsi256_ps(_mm256_and_si256(LoadEightPairs(p), high)),
          _mm256_castsi256_ps(_mm256_and_si256(LoadEightPairs(p + 8), high))};
}

inline __m256i RoundToBfloat16(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd =
      _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_srli_epi32(
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))),
      16);
}
// Rounded to nearest, ties to even. No NaN must come.
inline void StoreBfloat16(Bfloat16* p, Vec a) {
  // Packing works within halves; the permutation puts them in order.
  const __m256i packed = _mm256_permute4x64_epi64(
      _mm256_packus_epi32(RoundToBfloat16(a.low), RoundToBfloat16(a.high)),
      0xd8);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
}

// sum += a · b, for a unit and sixteen units.
inline Vec AddProduct(Vec sum, const float* a, Vec b) {
  const __m256 factor = _mm256_broadcast_ss(a);
  return {_mm256_fmadd_ps(factor, b.low, sum.low),
          _mm256_fmadd_ps(factor, b.high, sum.high)};
}
inline __m256 AddPairs(__m256 sum, __m256i pair, __m256 b) {
  const __m256i high = _mm256_set1_epi32(static_cast<int>(0xffff0000));
  const __m256i bits = _mm256_castps_si256(b);
  sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)),
                        _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)), sum);
  return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(pair, high)),
                         _mm256_castsi256_ps(_mm256_and_si256(bits, high)),
                         sum);
}
inline Vec AddProduct(Vec sum, const uint32_t* a, Vec b) {
  const __m256i pair = _mm256_set1_epi32(static_cast<int>(*a));
  return {AddPairs(sum.low, pair, b.low), AddPairs(sum.high, pair, b.high)};
}

// sum += a · b, lane by lane, for sixteen pairs each.
inline Vec AddPairProducts(Vec sum, const Bfloat16* a, const Bfloat16* b) {
  const auto pairs = [](const Bfloat16* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  };
  return {AddPairs(sum.low, pairs(a), _mm256_castsi256_ps(pairs(b))),
          AddPairs(sum.high, pairs(a + kLanes),
                   _mm256_castsi256_ps(pairs(b + kLanes)))};
}

inline void AddToDoubles(double* p, __m128 a) {
  _mm256_storeu_pd(p, _mm256_add_pd(_mm256_loadu_pd(p), _mm256_cvtps_pd(a)));
}
inline void AddToDoubles(double* p, Vec a) {
  AddToDoubles(p, _mm256_castps256_ps128(a.low));
  AddToDoubles(p + 4, _mm256_extractf128_ps(a.low, 1));
  AddToDoubles(p + 8, _mm256_castps256_ps128(a.high));
  AddToDoubles(p + 12, _mm256_extractf128_ps(a.high, 1));
}
