// Sixteen floats in one AVX-512 register. Included once per kernel file, in
// its anonymous namespace, by simd.h.

struct Vec {
  __m512 v;
};
// Accumulators of a matrix product: kMr rows of kNv vectors, beside kNv
// operands, in 32 registers.
constexpr int kMr = 6;
constexpr int kNv = 4;

inline Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
// Moves bits; a pair of bfloat16 numbers is no float. Registers may be loaded
// from and stored to numbers of any type.
inline Vec LoadPairs(const uint32_t* p) {
  return Load(reinterpret_cast<const float*>(p));
}
inline void Store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
inline Vec Broadcast(float a) { return {_mm512_set1_ps(a)}; }
inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec Max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Vec Min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
// a = mantissa · 2^exponent, 1 ≤ mantissa < 2, for normal a > 0.
inline Vec Exponent(Vec a) { return {_mm512_getexp_ps(a.v)}; }
inline Vec Mantissa(Vec a) {
  return {_mm512_getmant_ps(a.v, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero)};
}
// a · b + c, rounded once.
inline Vec MulAdd(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec Round(Vec a) {
  return {
      _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// a · 2^n for whole n; 0 where that underflows.
inline Vec TimesPowerOfTwo(Vec a, Vec n) {
  return {_mm512_scalef_ps(a.v, n.v)};
}
// a where the lane's bit is set, else b.
inline Vec Select(uint32_t bits, Vec a, Vec b) {
  return {_mm512_mask_blend_ps(static_cast<__mmask16>(bits), b.v, a.v)};
}
inline float LargestLane(Vec a) { return _mm512_reduce_max_ps(a.v); }
inline float SumOfLanes(Vec a) { return _mm512_reduce_add_ps(a.v); }

// Bit i is set where keys[i] ≥ threshold, i < 16.
inline uint32_t MaskAtLeast(const uint32_t* keys, uint32_t threshold) {
  return _mm512_cmpge_epu32_mask(
      _mm512_loadu_si512(keys), _mm512_set1_epi32(static_cast<int>(threshold)));
}
// How many keys of each lane are at least a threshold.
struct Counters {
  __m512i v = _mm512_setzero_si512();
};
inline void CountLanesAtLeast(const uint32_t* keys, uint32_t threshold,
                              Counters* counters) {
  counters->v = _mm512_mask_add_epi32(
      counters->v, static_cast<__mmask16>(MaskAtLeast(keys, threshold)),
      counters->v, _mm512_set1_epi32(1));
}
inline int64_t Total(const Counters& counters) {
  return _mm512_reduce_add_epi32(counters.v);
}

// first, first + 1 … where `mask` has bits 0, 1 …, one behind the other;
// positions [16] is overwritten whole.
inline void StoreIndices(int32_t* positions, uint32_t mask, int32_t first) {
  const __m512i indices = _mm512_add_epi32(
      _mm512_set1_epi32(first),
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  _mm512_storeu_si512(positions, _mm512_maskz_compress_epi32(
                                     static_cast<__mmask16>(mask), indices));
}

// Bit i is set where masks[i] has the bits of `bit`, i < 16.
inline uint32_t MaskOfBit(const uint16_t* masks, uint16_t bit) {
  return _mm256_test_epi16_mask(
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(masks)),
      _mm256_set1_epi16(static_cast<short>(bit)));
}
// masks[i] gets `bit` where `mask` has bit i.
inline void SetBit(uint16_t* masks, uint32_t mask, uint16_t bit) {
  __m256i* p = reinterpret_cast<__m256i*>(masks);
  const __m256i bits = _mm256_maskz_set1_epi16(static_cast<__mmask16>(mask),
                                               static_cast<short>(bit));
  _mm256_storeu_si256(p, _mm256_or_si256(_mm256_loadu_si256(p), bits));
}
// p[i] where `mask` has bit i, else 0.
inline Vec LoadWhere(const float* p, uint32_t mask) {
  return {_mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p)};
}

inline Vec LoadBfloat16(const Bfloat16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(
      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

// Of sixteen pairs of bfloat16 numbers, those in the low and in the high
// halves.
inline Vec FirstsOfPairs(const uint32_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_loadu_si512(p), 16))};
}
inline Vec SecondsOfPairs(const uint32_t* p) {
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  return {_mm512_castsi512_ps(_mm512_and_si512(_mm512_loadu_si512(p), high))};
}

// Rounded to nearest, ties to even. No NaN must come.
inline void StoreBfloat16(Bfloat16* p, Vec a) {
#ifdef __AVX512BF16__
  const __m256bh narrow = _mm512_cvtneps_pbh(a.v);
  __builtin_memcpy(p, &narrow, sizeof(narrow));
#else
  __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd =
      _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  bits =
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
#endif
}

// sum += a · b, for a unit and sixteen units.
inline Vec AddProduct(Vec sum, const float* a, Vec b) {
  return {_mm512_fmadd_ps(_mm512_set1_ps(*a), b.v, sum.v)};
}
inline Vec AddProduct(Vec sum, const uint32_t* a, Vec b) {
  const __m512i pair = _mm512_set1_epi32(static_cast<int>(*a));
#ifdef __AVX512BF16__
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)pair, (__m512bh)b.v)};
#else
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const __m512i bits = _mm512_castps_si512(b.v);
  const __m512 low =
      _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)),
                      _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)), sum.v);
  return {_mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(pair, high)),
                          _mm512_castsi512_ps(_mm512_and_si512(bits, high)),
                          low)};
#endif
}

// sum += a · b, lane by lane, for sixteen pairs each.
inline Vec AddPairProducts(Vec sum, const Bfloat16* a, const Bfloat16* b) {
  const __m512i x = _mm512_loadu_si512(a);
  const __m512i y = _mm512_loadu_si512(b);
#ifdef __AVX512BF16__
  return {_mm512_dpbf16_ps(sum.v, (__m512bh)x, (__m512bh)y)};
#else
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  const __m512 low =
      _mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_slli_epi32(x, 16)),
                      _mm512_castsi512_ps(_mm512_slli_epi32(y, 16)), sum.v);
  return {_mm512_fmadd_ps(_mm512_castsi512_ps(_mm512_and_si512(x, high)),
                          _mm512_castsi512_ps(_mm512_and_si512(y, high)), low)};
#endif
}

inline void AddToDoubles(double* p, Vec a) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(a.v));
  const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1));
  _mm512_storeu_pd(p, _mm512_add_pd(_mm512_loadu_pd(p), low));
  _mm512_storeu_pd(p + 8, _mm512_add_pd(_mm512_loadu_pd(p + 8), high));
}
