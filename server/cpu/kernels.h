#pragma once

// The arithmetic of engine and telemetry on a CPU, on raw arrays, once per
// instruction set: attention of a tile of queries with what its column sums
// need, and the element-wise steps between the matrix products. No libtorch, no
// threads: a caller splits the work. All functions are pure over their
// arguments.
//
// Sixteen lanes are the unit everywhere: cache layouts do not depend on the
// instruction set that reads them.

#include <cstdint>
#include <vector>

namespace kvrecall::cpu {

inline constexpr int kLanes = 16;
// Positions that attention works on at a time.
inline constexpr int kBlock = 256;

// Bfloat16 numbers travel in pairs, the first in the low half: the unit of
// the products. Float32 numbers travel alone.
template <typename T>
struct Unit;
template <>
struct Unit<float> {
  using Type = float;
  static constexpr int kNumbers = 1;
};
struct Bfloat16 {
  uint16_t bits;
};
template <>
struct Unit<Bfloat16> {
  using Type = uint32_t;
  static constexpr int kNumbers = 2;
};

// A tile of rows (queries of the heads of one KV group) against blocks of
// positions. With U the unit type of T and s its numbers:
template <typename T>
struct AttentionTile {
  using U = typename Unit<T>::Type;

  int rows = 0;
  int head_units = 0;  // head size / s
  int head_lanes = 0;  // head size, rounded up to kLanes
  // The scores' factor times log₂ e: weights are powers of two.
  float scale = 0;
  const U* queries = nullptr;  // [rows, head_units]
  // [positions / kLanes, head_units, kLanes]; whole blocks must be readable.
  const U* keys = nullptr;
  // [positions / s, head_lanes]; finite wherever a block reaches.
  const U* values = nullptr;
  // [rows]: positions below the limit are visible; ≥ 1 in the first block.
  const int64_t* limits = nullptr;
  // Null, or instead of limits [⌈rows / mask_rows⌉, mask_stride]: bit i of word
  // w is set where rows that share the mask see position w · kLanes + i. Whole
  // blocks must be readable; a row may see nothing.
  const uint16_t* masks = nullptr;
  int64_t mask_stride = 0;
  int mask_rows = 1;
  int64_t first_block = 0;
  int64_t blocks = 0;

  // Goes on from the output, exponent and lane_sums that an earlier tile of the
  // same rows left.
  bool resume = false;

  // Results. A weight is 2^(scaled score − exponent of its block); true
  // weights divide by 2^(exponent − exponent of the block) · sum. A row that
  // saw nothing has output and sum 0 and an exponent below any score's.
  float* output = nullptr;    // [rows, head_lanes], times `sum`
  float* exponent = nullptr;  // [rows]: the largest scaled score
  float* sum = nullptr;       // [rows]
  // If `keep`: [blocks, rows, kBlock] and [blocks, rows]; else one block of
  // `weights` as scratch.
  bool keep = false;
  float* weights = nullptr;
  float* block_exponent = nullptr;
  U* scratch = nullptr;        // [rows, kBlock / s]
  float* lane_sums = nullptr;  // [rows, kLanes]
};

// Column sums of a kept tile over its rows `begin` … `end` − 1.
struct ColumnSums {
  int rows = 0;  // of the tile
  int begin = 0, end = 0;
  int64_t blocks = 0;
  // On every column's sum, once weights below 2⁻¹²⁶ have vanished.
  float factor = 1;
  const float* weights = nullptr;         // as kept
  const float* block_exponent = nullptr;  // as kept
  const float* exponent = nullptr;        // [rows]
  const float* sum = nullptr;             // [rows]
  float* row_weights = nullptr;           // [rows], scratch
  int64_t columns = 0;  // that the targets have, from the first block on
  // Either may be null. Added to, or overwritten.
  double* add_to = nullptr;  // [columns]
  float* store = nullptr;    // [columns]
};

// Inner products of keys with one direction.
template <typename T>
struct KeyProducts {
  // [⌈positions / kLanes⌉, head_units, kLanes], as a tile has them.
  const typename Unit<T>::Type* keys = nullptr;
  int head_units = 0;
  const float* direction = nullptr;  // [head_units · s], 0 behind the head size
  int64_t positions = 0;
  float* out = nullptr;  // [positions]
};

// A few vectors times one matrix.
template <typename T>
struct VectorProducts {
  const T* weights = nullptr;  // [rows, size]
  int64_t rows = 0, size = 0;
  const T* x = nullptr;  // [vectors, size]
  int64_t vectors = 0;
  // Row i times vector j goes to out[j · out_stride + i].
  float* out = nullptr;
  int64_t out_stride = 0;
};

struct Kernels {
  const char* name;
  // Whether they multiply bfloat16 numbers by instructions made for it, and so
  // faster than float32 ones.
  bool bfloat16_products;

  void (*attend_float)(const AttentionTile<float>&);
  void (*attend_bfloat16)(const AttentionTile<Bfloat16>&);
  void (*column_sums)(const ColumnSums&);

  // In float32, of keys widened exactly; one sequential reading of the keys.
  void (*key_products_float)(const KeyProducts<float>&);
  void (*key_products_bfloat16)(const KeyProducts<Bfloat16>&);

  // out = x / √(mean(x²) + eps) · weight for one row of `size`; the quotient
  // is rounded to T before the product, as Hugging Face does. `eps` > 0.
  void (*rms_norm_float)(const float* x, const float* weight, float eps,
                         int64_t size, float* out);
  void (*rms_norm_bfloat16)(const Bfloat16* x, const Bfloat16* weight,
                            float eps, int64_t size, Bfloat16* out);

  // out = gate · sigmoid(gate) · up, each of `size`.
  void (*silu_mul_float)(const float* gate, const float* up, int64_t size,
                         float* out);
  void (*silu_mul_bfloat16)(const Bfloat16* gate, const Bfloat16* up,
                            int64_t size, Bfloat16* out);

  // At the memory's speed: a row of the matrix is read once. Sums are in
  // float32; no bit of a vector's depends on the vectors beside it.
  void (*multiply_vectors_float)(const VectorProducts<float>&);
  void (*multiply_vectors_bfloat16)(const VectorProducts<Bfloat16>&);

  // x[i], x[i + half] rotated by the angle whose cosine and sine are given;
  // `half` numbers each. `out` may be `x`.
  void (*rotate_float)(const float* x, const float* cos, const float* sin,
                       int64_t half, float* out);
  void (*rotate_bfloat16)(const Bfloat16* x, const float* cos, const float* sin,
                          int64_t half, Bfloat16* out);
};

// The name in KVRECALL_CPU_KERNELS (avx512_bf16, avx512, avx2, generic); null
// where none is asked for.
const char* WantedKernels();

// The wanted ones, or the fastest that this processor runs. A name that is not
// among the supported ones is passed over here: there is no one to tell.
// Whoever loads a model refuses it first (CheckCpuKernels of engine/linear.h).
const Kernels& BestKernels();

// All that this processor runs, the fastest first.
std::vector<const Kernels*> SupportedKernels();

// While one lives, results of the calling thread below 2⁻¹²⁶ are 0, and such
// operands count as 0.
class FlushTinyNumbers {
 public:
  FlushTinyNumbers();
  ~FlushTinyNumbers();
  FlushTinyNumbers(const FlushTinyNumbers&) = delete;
  FlushTinyNumbers& operator=(const FlushTinyNumbers&) = delete;

 private:
  uint64_t saved_ = 0;
};

}  // namespace kvrecall::cpu
