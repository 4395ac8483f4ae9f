// The kernels of kernels.h over the vector type of simd.h. A kernel file
// includes this once and names the table that it fills.

#include "server/cpu/kernels.h"
#include "server/cpu/simd.h"

namespace kvrecall::cpu {
namespace {

// A score that no attention row can reach, and whose power of two is 0.
constexpr float kUnseen = -1e30f;
// The exponent of a row that has seen nothing: below that of any score, and so
// far above kUnseen times any scale that unseen positions weigh 0 even there.
constexpr float kLeastExponent = -1e27f;

// ---- Matrix products ------------------------------------------------------

// C [rows, columns] = C · `decay` (a factor for each row; null: 0) + A · B, in
// units. Vector j of B's row k starts at b + j · b_vector + k · b_step.
template <typename U>
struct Product {
  const U* a;
  int64_t a_stride;
  const U* b;
  int64_t b_vector, b_step;
  int depth;
  float* c;
  int64_t c_stride;
  const float* decay;
};

// kRows × kVectors of C in registers.
template <int kRows, int kVectors, typename U>
inline void MultiplyPanel(const Product<U>& p, int row, int vector) {
  Vec sums[kRows][kVectors];
  float* c = p.c + row * p.c_stride + vector * kLanes;
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j)
      sums[i][j] = p.decay == nullptr ? Broadcast(0)
                                      : Load(c + i * p.c_stride + j * kLanes) *
                                            Broadcast(p.decay[row + i]);
  const U* a = p.a + row * p.a_stride;
  const U* b = p.b + vector * p.b_vector;
  for (int k = 0; k < p.depth; ++k, b += p.b_step) {
    Vec operand[kVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j)
      operand[j] = LoadUnits(b + j * p.b_vector);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
      for (int j = 0; j < kVectors; ++j)
        sums[i][j] = AddProduct(sums[i][j], a + i * p.a_stride + k, operand[j]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < kVectors; ++j)
      Store(c + i * p.c_stride + j * kLanes, sums[i][j]);
}

template <int kRows, int kVectors, typename U>
inline void MultiplyRest(const Product<U>& p, int rows, int row, int vector) {
  if constexpr (kRows > 0) {
    if (rows - row == kRows)
      MultiplyPanel<kRows, kVectors>(p, row, vector);
    else
      MultiplyRest<kRows - 1, kVectors>(p, rows, row, vector);
  }
}

// All rows of kVectors columns of vectors: B's part stays in the first-level
// cache.
template <int kVectors, typename U>
inline void MultiplyColumns(const Product<U>& p, int rows, int vector) {
  int row = 0;
  for (; row + kMr <= rows; row += kMr)
    MultiplyPanel<kMr, kVectors>(p, row, vector);
  MultiplyRest<kMr - 1, kVectors>(p, rows, row, vector);
}

template <int kVectors, typename U>
inline void MultiplyRestColumns(const Product<U>& p, int rows, int vectors,
                                int vector) {
  if constexpr (kVectors > 0) {
    if (vectors - vector == kVectors)
      MultiplyColumns<kVectors>(p, rows, vector);
    else
      MultiplyRestColumns<kVectors - 1>(p, rows, vectors, vector);
  }
}

template <typename U>
inline void Multiply(const Product<U>& p, int rows, int vectors) {
  int vector = 0;
  for (; vector + kNv <= vectors; vector += kNv)
    MultiplyColumns<kNv>(p, rows, vector);
  MultiplyRestColumns<kNv - 1>(p, rows, vectors, vector);
}

// ---- Attention ------------------------------------------------------------

struct RowState {
  float exponent;  // of the weights so far
  float decay;     // what the new block takes older weights times
};

inline void HideFrom(float* scores, int64_t visible) {
  for (int64_t j = visible < 0 ? 0 : visible; j < kBlock; ++j)
    scores[j] = kUnseen;
}

inline void HideUnseen(float* scores, const uint16_t* mask) {
  const Vec unseen = Broadcast(kUnseen);
  for (int j = 0; j < kBlock; j += kLanes)
    Store(scores + j, Select(mask[j / kLanes], Load(scores + j), unseen));
}

// Scores of one block to weights 2^(scale · score − exponent), in place, and
// their sums by lane.
inline RowState WeighRow(float* scores, float scale, bool first, float exponent,
                         float* lane_sums) {
  Vec largest = Load(scores);
  for (int j = kLanes; j < kBlock; j += kLanes)
    largest = Max(largest, Load(scores + j));
  const float scaled = LargestLane(largest) * scale;
  const float top = scaled > kLeastExponent ? scaled : kLeastExponent;
  RowState state = {top, 0};
  if (!first) {
    state.exponent = top > exponent ? top : exponent;
    float decays[kLanes];
    Store(decays, Exp2(Broadcast(exponent - state.exponent)));
    state.decay = decays[0];
  }
  const Vec factor = Broadcast(scale);
  const Vec offset = Broadcast(-state.exponent);
  Vec sums[2] = {Broadcast(0), Broadcast(0)};
  for (int j = 0; j < kBlock; j += 2 * kLanes)
    for (int i = 0; i < 2; ++i) {
      float* s = scores + j + i * kLanes;
      const Vec weight = Exp2(MulAdd(Load(s), factor, offset));
      Store(s, weight);
      sums[i] = sums[i] + weight;
    }
  const Vec sum = sums[0] + sums[1];
  Store(lane_sums,
        first ? sum : Load(lane_sums) * Broadcast(state.decay) + sum);
  return state;
}

// The weights as the operand of the product with the values.
inline const float* AsOperand(const float* weights, float*, int) {
  return weights;
}
inline const uint32_t* AsOperand(const float* weights, uint32_t* scratch,
                                 int rows) {
  Bfloat16* out = reinterpret_cast<Bfloat16*>(scratch);
  for (int64_t j = 0; j < int64_t{rows} * kBlock; j += kLanes)
    StoreBfloat16(out + j, Load(weights + j));
  return scratch;
}

template <typename T>
void Attend(const AttentionTile<T>& tile) {
  using U = typename Unit<T>::Type;
  constexpr int kNumbers = Unit<T>::kNumbers;
  const int rows = tile.rows;
  float* decay = tile.sum;  // free until the end
  for (int64_t b = 0; b < tile.blocks; ++b) {
    const int64_t begin = (tile.first_block + b) * kBlock;
    const bool first = b == 0 && !tile.resume;
    float* weights = tile.weights + (tile.keep ? b * rows * kBlock : 0);
    Multiply<U>(
        {tile.queries, tile.head_units, tile.keys + begin * tile.head_units,
         int64_t{tile.head_units} * kLanes, kLanes, tile.head_units, weights,
         kBlock, nullptr},
        rows, kBlock / kLanes);
    for (int r = 0; r < rows; ++r) {
      float* scores = weights + int64_t{r} * kBlock;
      if (tile.masks == nullptr)
        HideFrom(scores, tile.limits[r] - begin);
      else
        HideUnseen(scores, tile.masks + r / tile.mask_rows * tile.mask_stride +
                               begin / kLanes);
      const RowState state =
          WeighRow(scores, tile.scale, first, tile.exponent[r],
                   tile.lane_sums + r * kLanes);
      tile.exponent[r] = state.exponent;
      decay[r] = state.decay;
      if (tile.keep) tile.block_exponent[b * rows + r] = state.exponent;
    }
    Multiply<U>({AsOperand(weights, tile.scratch, rows), kBlock / kNumbers,
                 tile.values + begin / kNumbers * tile.head_lanes, kLanes,
                 tile.head_lanes, kBlock / kNumbers, tile.output,
                 tile.head_lanes, first ? nullptr : decay},
                rows, tile.head_lanes / kLanes);
  }
  for (int r = 0; r < rows; ++r)
    tile.sum[r] = SumOfLanes(Load(tile.lane_sums + r * kLanes));
}

// ---- Column sums ----------------------------------------------------------

// The factors that make a block's weights those of the softmax. What the
// caller wants of their sum comes after: a weight is compared with 2⁻¹²⁶, not
// a group's part of it.
inline void TrueFactors(const ColumnSums& c, const float* block_exponent) {
  int r = c.begin;
  for (; r + kLanes <= c.end; r += kLanes)
    Store(c.row_weights + r,
          Exp2(Load(block_exponent + r) - Load(c.exponent + r)) /
              Load(c.sum + r));
  if (r == c.end) return;
  float difference[kLanes] = {}, sum[kLanes], out[kLanes];
  for (int i = 0; i < kLanes; ++i) sum[i] = 1;
  for (int i = 0; r + i < c.end; ++i) {
    difference[i] = block_exponent[r + i] - c.exponent[r + i];
    sum[i] = c.sum[r + i];
  }
  Store(out, Exp2(Load(difference)) / Load(sum));
  for (int i = 0; r + i < c.end; ++i) c.row_weights[r + i] = out[i];
}

// How far ahead to fetch kept weights, in numbers: they have left the near
// caches when a long row has ended.
constexpr int64_t kKeptAhead = 2048;

// Columns in registers at a time.
constexpr int kColumnVectors = kNv == 4 ? 16 : 4;

// Backwards: what was kept last is still near, and so is, at the end, what the
// next tile overwrites first.
inline void AddColumns(const ColumnSums& c, const float* weights, float* sums) {
  for (int at = 0; at < kBlock; at += kColumnVectors * kLanes) {
    Vec acc[kColumnVectors];
#pragma GCC unroll 16
    for (int j = 0; j < kColumnVectors; ++j) acc[j] = Broadcast(0);
    for (int r = c.end - 1; r >= c.begin; --r) {
      const Vec factor = Broadcast(c.row_weights[r]);
      const float* row = weights + int64_t{r} * kBlock + at;
      // Not fused: a product below 2⁻¹²⁶ must vanish before it is added.
#pragma GCC unroll 16
      for (int j = 0; j < kColumnVectors; ++j) {
        const float* p = row + j * kLanes;
        __builtin_prefetch(p - kKeptAhead);
        acc[j] = acc[j] + factor * Load(p);
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < kColumnVectors; ++j)
      Store(sums + at + j * kLanes, acc[j] * Broadcast(c.factor));
  }
}

void SumColumns(const ColumnSums& c) {
  float sums[kBlock];
  for (int64_t b = c.blocks - 1; b >= 0; --b) {
    TrueFactors(c, c.block_exponent + b * c.rows);
    AddColumns(c, c.weights + b * c.rows * kBlock, sums);
    const int64_t left = c.columns - b * kBlock;
    const int64_t count = left < kBlock ? left : kBlock;
    int64_t j = 0;
    if (c.add_to != nullptr) {
      double* out = c.add_to + b * kBlock;
      for (; j + kLanes <= count; j += kLanes)
        AddToDoubles(out + j, Load(sums + j));
      for (; j < count; ++j) out[j] += sums[j];
    }
    if (c.store != nullptr)
      for (j = 0; j < count; ++j) c.store[b * kBlock + j] = sums[j];
  }
}

// ---- Products of keys -----------------------------------------------------

// How far ahead of the reading to fetch, in bytes: rows are one stream, which
// the processor's own prefetcher follows too slowly.
constexpr int64_t kFetchAhead = 2048;

// What a unit of each of sixteen keys adds to their products: `sums` holds a
// chain for each number of a unit.
inline void AddKeyUnit(const float* units, const float* direction, Vec* sums) {
  sums[0] = MulAdd(Load(units), Broadcast(direction[0]), sums[0]);
}
inline void AddKeyUnit(const uint32_t* units, const float* direction,
                       Vec* sums) {
  sums[0] = MulAdd(FirstsOfPairs(units), Broadcast(direction[0]), sums[0]);
  sums[1] = MulAdd(SecondsOfPairs(units), Broadcast(direction[1]), sums[1]);
}

template <typename T>
void MultiplyKeys(const KeyProducts<T>& p) {
  using U = typename Unit<T>::Type;
  constexpr int kNumbers = Unit<T>::kNumbers;
  const U* units = p.keys;
  for (int64_t begin = 0; begin < p.positions; begin += kLanes) {
    Vec sums[2][2] = {{Broadcast(0), Broadcast(0)},
                      {Broadcast(0), Broadcast(0)}};
    int u = 0;
    for (; u + 2 <= p.head_units; u += 2)
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i, units += kLanes) {
        __builtin_prefetch(reinterpret_cast<const char*>(units) + kFetchAhead);
        AddKeyUnit(units, p.direction + (u + i) * kNumbers, sums[i]);
      }
    if (u < p.head_units) {
      AddKeyUnit(units, p.direction + u * kNumbers, sums[0]);
      units += kLanes;
    }
    const Vec products = (sums[0][0] + sums[0][1]) + (sums[1][0] + sums[1][1]);
    if (begin + kLanes <= p.positions) {
      Store(p.out + begin, products);
      continue;
    }
    float last[kLanes];
    Store(last, products);
    for (int64_t j = begin; j < p.positions; ++j) p.out[j] = last[j - begin];
  }
}

// ---- Matrix times vectors -------------------------------------------------

// Vectors that share the reading of a row: two accumulators each for each of
// RowsAtOnce rows, in registers (28 of AVX-512's 32).
constexpr int kMostVectors = kNv == 4 ? 7 : 2;

// Rows that share the reading of the vectors.
constexpr int RowsAtOnce(int vectors) {
  return kNv == 4 && vectors > 1 ? 2 : 1;
}

// Several vectors go over a block of rows part by part: parts of all vectors
// stay in the nearest cache, and so do the block's sums.
constexpr int kBlockRows = 8;
constexpr int64_t kPartBytes = 2048;

// One vector's row is fetched into the nearest cache. With several there is
// more to do for each line, which is used later: it would be driven out again,
// and waits in the second cache.
template <int kVectors>
inline void FetchRow(const void* p) {
  __builtin_prefetch(p, 0, kVectors == 1 ? 3 : 2);
}

// Row r times vector v, over n numbers, is added to sums[r][v]; rows and
// vectors are `size` apart. `next` is what is fetched: rows that come later.
// What is added to a sum, and when, does not depend on the numbers of rows and
// vectors.
template <int kRows, int kVectors>
inline void AddDots(const float* rows, const float* x, int64_t size, int64_t n,
                    const float* next, Vec (*sums)[kVectors][2]) {
  Vec acc[kRows][kVectors][2];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v][0] = sums[r][v][0];
      acc[r][v][1] = sums[r][v][1];
    }
  for (int64_t i = 0; i + 2 * kLanes <= n; i += 2 * kLanes)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const int64_t at = i + j * kLanes;
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) FetchRow<kVectors>(next + r * size + at);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r)
          acc[r][v][j] = MulAdd(Load(rows + r * size + at),
                                Load(x + v * size + at), acc[r][v][j]);
    }
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v][0] = acc[r][v][0];
      sums[r][v][1] = acc[r][v][1];
    }
}

template <int kRows, int kVectors>
inline void AddDots(const Bfloat16* rows, const Bfloat16* x, int64_t size,
                    int64_t n, const Bfloat16* next, Vec (*sums)[kVectors][2]) {
  constexpr int kPairs = 2 * kLanes;  // numbers in a vector of pairs
  Vec acc[kRows][kVectors][2];
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      acc[r][v][0] = sums[r][v][0];
      acc[r][v][1] = sums[r][v][1];
    }
  int64_t i = 0;
  for (; i + 2 * kPairs <= n; i += 2 * kPairs)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const int64_t at = i + j * kPairs;
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) FetchRow<kVectors>(next + r * size + at);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r)
          acc[r][v][j] = AddPairProducts(acc[r][v][j], rows + r * size + at,
                                         x + v * size + at);
    }
  for (; i + kPairs <= n; i += kPairs)
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        acc[r][v][0] = AddPairProducts(acc[r][v][0], rows + r * size + i,
                                       x + v * size + i);
#pragma GCC unroll 2
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[r][v][0] = acc[r][v][0];
      sums[r][v][1] = acc[r][v][1];
    }
}

inline float Widened(float value) { return value; }
inline float Widened(Bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  __builtin_memcpy(&wide, &bits, sizeof(wide));
  return wide;
}

// Vectors from `first_vector` on times up to kBlockRows rows.
template <int kVectors, typename T>
inline void MultiplyBlock(const VectorProducts<T>& p, int64_t first_row,
                          int64_t rows, int64_t first_vector) {
  constexpr int kRows = RowsAtOnce(kVectors);
  constexpr int64_t kPart = kPartBytes / static_cast<int64_t>(sizeof(T));
  const T* block = p.weights + first_row * p.size;
  const T* x = p.x + first_vector * p.size;
  const int64_t part = kVectors == 1 ? p.size : kPart;
  Vec sums[kBlockRows][kVectors][2];
  for (int r = 0; r < kBlockRows; ++r)
    for (int v = 0; v < kVectors; ++v)
      sums[r][v][0] = sums[r][v][1] = Broadcast(0);
  for (int64_t begin = 0; begin < p.size; begin += part) {
    const int64_t left = p.size - begin;
    const int64_t n = left < part ? left : part;
    // Of the row that is fetched while row r is used.
    const auto next = [&](int64_t r) {
      if (kVectors == 1)
        return block + r * p.size +
               kFetchAhead / static_cast<int64_t>(sizeof(T));
      const int64_t ahead = r + 2 * kRows;
      if (ahead < rows) return block + ahead * p.size + begin;
      if (begin + part < p.size)
        return block + (ahead - rows) * p.size + begin + part;
      return block + ahead * p.size;
    };
    int64_t r = 0;
    for (; r + kRows <= rows; r += kRows)
      AddDots<kRows, kVectors>(block + r * p.size + begin, x + begin, p.size, n,
                               next(r), sums + r);
    for (; r < rows; ++r)
      AddDots<1, kVectors>(block + r * p.size + begin, x + begin, p.size, n,
                           next(r), sums + r);
  }
  const int64_t whole = p.size - p.size % (2 * kLanes);
  for (int64_t r = 0; r < rows; ++r)
    for (int v = 0; v < kVectors; ++v) {
      float sum = SumOfLanes(sums[r][v][0] + sums[r][v][1]);
      for (int64_t k = whole; k < p.size; ++k)
        sum += Widened(block[r * p.size + k]) * Widened(x[v * p.size + k]);
      p.out[(first_vector + v) * p.out_stride + first_row + r] = sum;
    }
}

// The `count` vectors from `first_vector` on, at most kVectors of them.
template <int kVectors, typename T>
inline void MultiplyGroup(const VectorProducts<T>& p, int64_t first_row,
                          int64_t rows, int64_t first_vector, int64_t count) {
  if constexpr (kVectors > 0) {
    if (count < kVectors)
      return MultiplyGroup<kVectors - 1>(p, first_row, rows, first_vector,
                                         count);
    MultiplyBlock<kVectors>(p, first_row, rows, first_vector);
  }
}

// More vectors than fit the registers find the rows of a block in a near cache.
template <typename T>
void MultiplyVectors(const VectorProducts<T>& p) {
  for (int64_t r = 0; r < p.rows; r += kBlockRows) {
    const int64_t rows = p.rows - r < kBlockRows ? p.rows - r : kBlockRows;
    for (int64_t v = 0; v < p.vectors; v += kMostVectors) {
      const int64_t left = p.vectors - v;
      MultiplyGroup<kMostVectors>(p, r, rows, v,
                                  left < kMostVectors ? left : kMostVectors);
    }
  }
}

// ---- Element-wise steps ---------------------------------------------------

// Runs `body(i)` on whole vectors from index 0 on, and `rest(i, n)` on the n
// that are left.
template <typename Body, typename Rest>
inline void ForVectors(int64_t size, Body body, Rest rest) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i);
  if (i < size) rest(i, static_cast<int>(size - i));
}

template <typename T>
inline Vec LoadPart(const T* p, int count) {
  T padded[kLanes] = {};
  for (int i = 0; i < count; ++i) padded[i] = p[i];
  return LoadNumbers(padded);
}
template <typename T>
inline void StorePart(T* p, Vec a, int count) {
  T padded[kLanes];
  StoreNumbers(padded, a);
  for (int i = 0; i < count; ++i) p[i] = padded[i];
}

inline Vec Rounded(Vec a, const float*) { return a; }
inline Vec Rounded(Vec a, const Bfloat16*) {
  Bfloat16 narrow[kLanes];
  StoreBfloat16(narrow, a);
  return LoadBfloat16(narrow);
}

template <typename T>
void RmsNorm(const T* x, const T* weight, float eps, int64_t size, T* out) {
  Vec squares = Broadcast(0);
  ForVectors(
      size,
      [&](int64_t i) {
        const Vec v = LoadNumbers(x + i);
        squares = MulAdd(v, v, squares);
      },
      [&](int64_t i, int n) {
        const Vec v = LoadPart(x + i, n);
        squares = MulAdd(v, v, squares);
      });
  const float mean = SumOfLanes(squares) / static_cast<float>(size);
  const Vec factor = Broadcast(1 / __builtin_sqrtf(mean + eps));
  ForVectors(
      size,
      [&](int64_t i) {
        StoreNumbers(out + i, Rounded(LoadNumbers(x + i) * factor, x) *
                                  LoadNumbers(weight + i));
      },
      [&](int64_t i, int n) {
        StorePart(
            out + i,
            Rounded(LoadPart(x + i, n) * factor, x) * LoadPart(weight + i, n),
            n);
      });
}

inline Vec SiluMul(Vec gate, Vec up) {
  constexpr float kLog2E = 1.44269504f;
  const Vec one = Broadcast(1);
  return gate / (one + Exp2(gate * Broadcast(-kLog2E))) * up;
}

template <typename T>
void SiluMulRow(const T* gate, const T* up, int64_t size, T* out) {
  ForVectors(
      size,
      [&](int64_t i) {
        StoreNumbers(out + i,
                     SiluMul(LoadNumbers(gate + i), LoadNumbers(up + i)));
      },
      [&](int64_t i, int n) {
        StorePart(out + i, SiluMul(LoadPart(gate + i, n), LoadPart(up + i, n)),
                  n);
      });
}

template <typename T>
void Rotate(const T* x, const float* cos, const float* sin, int64_t half,
            T* out) {
  ForVectors(
      half,
      [&](int64_t i) {
        const Vec c = Load(cos + i), s = Load(sin + i);
        const Vec a = LoadNumbers(x + i), b = LoadNumbers(x + half + i);
        StoreNumbers(out + i, a * c - b * s);
        StoreNumbers(out + half + i, b * c + a * s);
      },
      [&](int64_t i, int n) {
        const Vec c = LoadPart(cos + i, n), s = LoadPart(sin + i, n);
        const Vec a = LoadPart(x + i, n), b = LoadPart(x + half + i, n);
        StorePart(out + i, a * c - b * s, n);
        StorePart(out + half + i, b * c + a * s, n);
      });
}

}  // namespace
}  // namespace kvrecall::cpu

// Every entry of a table, under its name.
#ifdef __AVX512BF16__
#define KVRECALL_BFLOAT16_PRODUCTS true
#else
#define KVRECALL_BFLOAT16_PRODUCTS false
#endif
// clang-format off
#define KVRECALL_CPU_KERNELS(name)                       \
  {name, KVRECALL_BFLOAT16_PRODUCTS,                     \
   Attend<float>, Attend<Bfloat16>, SumColumns,          \
   MultiplyKeys<float>, MultiplyKeys<Bfloat16>,          \
   RmsNorm<float>, RmsNorm<Bfloat16>,                    \
   SiluMulRow<float>, SiluMulRow<Bfloat16>,              \
   MultiplyVectors<float>, MultiplyVectors<Bfloat16>,    \
   Rotate<float>, Rotate<Bfloat16>}
// clang-format on
