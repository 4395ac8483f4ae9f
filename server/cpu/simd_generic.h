// Sixteen floats in plain C++, for processors without kernels of their own;
// the compiler makes of it what it can. Included once per kernel file, in its
// anonymous namespace, by simd.h.

struct Vec {
  float v[kLanes];
};
constexpr int kMr = 2;
constexpr int kNv = 1;

inline float FromBits(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t ToBits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}
template <typename Fn>
inline Vec Each(Fn fn) {
  Vec result;
  for (int i = 0; i < kLanes; ++i) result.v[i] = fn(i);
  return result;
}

inline Vec Load(const float* p) {
  return Each([&](int i) { return p[i]; });
}
// Moves bits; a pair of bfloat16 numbers is no float.
inline Vec LoadPairs(const uint32_t* p) {
  return Each([&](int i) { return FromBits(p[i]); });
}
inline void Store(float* p, Vec a) { __builtin_memcpy(p, a.v, sizeof(a.v)); }
inline Vec Broadcast(float a) {
  return Each([&](int) { return a; });
}
inline Vec operator+(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec Max(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec Min(Vec a, Vec b) {
  return Each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
// a = mantissa · 2^exponent, 1 ≤ mantissa < 2, for normal a > 0.
inline Vec Exponent(Vec a) {
  return Each([&](int i) {
    return static_cast<float>(static_cast<int>(ToBits(a.v[i]) >> 23) - 127);
  });
}
inline Vec Mantissa(Vec a) {
  return Each([&](int i) {
    return FromBits((ToBits(a.v[i]) & 0x7fffff) | 0x3f800000);
  });
}
// a · b + c.
inline Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec Round(Vec a) {
  return Each([&](int i) { return __builtin_rintf(a.v[i]); });
}
// a · 2^n for whole n; 0 where that underflows.
inline Vec TimesPowerOfTwo(Vec a, Vec n) {
  return Each([&](int i) {
    if (n.v[i] < -252) return 0.0f;
    // An n that no int holds must not become one; from 252 on all is infinite.
    const float bounded = n.v[i] < 252 ? n.v[i] : 252;
    return __builtin_ldexpf(a.v[i], static_cast<int>(bounded));
  });
}
// a where the lane's bit is set, else b.
inline Vec Select(uint32_t bits, Vec a, Vec b) {
  return Each([&](int i) { return (bits >> i & 1) != 0 ? a.v[i] : b.v[i]; });
}
inline float LargestLane(Vec a) {
  float largest = a.v[0];
  for (float lane : a.v) largest = lane > largest ? lane : largest;
  return largest;
}
inline float SumOfLanes(Vec a) {
  float sum = 0;
  for (float lane : a.v) sum += lane;
  return sum;
}

// Bit i is set where keys[i] ≥ threshold, i < 16.
inline uint32_t MaskAtLeast(const uint32_t* keys, uint32_t threshold) {
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; ++i)
    mask |= static_cast<uint32_t>(keys[i] >= threshold) << i;
  return mask;
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
  uint32_t mask = 0;
  for (int i = 0; i < kLanes; ++i)
    mask |= static_cast<uint32_t>((masks[i] & bit) != 0) << i;
  return mask;
}
// masks[i] gets `bit` where `mask` has bit i.
inline void SetBit(uint16_t* masks, uint32_t mask, uint16_t bit) {
  for (int i = 0; i < kLanes; ++i)
    masks[i] =
        static_cast<uint16_t>(masks[i] | ((mask >> i & 1) != 0 ? bit : 0));
}
// p[i] where `mask` has bit i, else 0.
inline Vec LoadWhere(const float* p, uint32_t mask) {
  return Each([&](int i) { return (mask >> i & 1) != 0 ? p[i] : 0.0f; });
}

inline Vec LoadBfloat16(const Bfloat16* p) {
  return Each(
      [&](int i) { return FromBits(static_cast<uint32_t>(p[i].bits) << 16); });
}
// Of sixteen pairs of bfloat16 numbers, those in the low and in the high
// halves.
inline Vec FirstsOfPairs(const uint32_t* p) {
  return Each([&](int i) { return FromBits(p[i] << 16); });
}
inline Vec SecondsOfPairs(const uint32_t* p) {
  return Each([&](int i) { return FromBits(p[i] & 0xffff0000); });
}

// Rounded to nearest, ties to even. No NaN must come. Written by bytes: who
// reads pairs of them reads 32-bit numbers.
inline void StoreBfloat16(Bfloat16* p, Vec a) {
  Bfloat16 narrow[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    const uint32_t bits = ToBits(a.v[i]);
    narrow[i].bits =
        static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  }
  __builtin_memcpy(p, narrow, sizeof(narrow));
}

// sum += a · b, for a unit and sixteen units.
inline Vec AddProduct(Vec sum, const float* a, Vec b) {
  return MulAdd(Broadcast(*a), b, sum);
}
inline Vec AddProduct(Vec sum, const uint32_t* a, Vec b) {
  const float low = FromBits(*a << 16);
  const float high = FromBits(*a & 0xffff0000);
  return Each([&](int i) {
    const uint32_t bits = ToBits(b.v[i]);
    return sum.v[i] + low * FromBits(bits << 16) +
           high * FromBits(bits & 0xffff0000);
  });
}

// sum += a · b, lane by lane, for sixteen pairs each.
inline Vec AddPairProducts(Vec sum, const Bfloat16* a, const Bfloat16* b) {
  const auto wide = [](Bfloat16 v) {
    return FromBits(static_cast<uint32_t>(v.bits) << 16);
  };
  return Each([&](int i) {
    return sum.v[i] + wide(a[2 * i]) * wide(b[2 * i]) +
           wide(a[2 * i + 1]) * wide(b[2 * i + 1]);
  });
}

inline void AddToDoubles(double* p, Vec a) {
  for (int i = 0; i < kLanes; ++i) p[i] += a.v[i];
}
