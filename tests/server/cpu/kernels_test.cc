// The kernels of every instruction set that this processor runs, against loops
// in float64 on plain arrays: without libtorch, so that sanitizers see it all.

#include "server/cpu/kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace kvrecall::cpu {
namespace {

// Around the sixteen lanes of a vector, and a model's own.
constexpr int64_t kSizes[] = {1, 2, 15, 16, 17, 64, 896, 1001};

void Store(float value, float* out) { *out = value; }
void Store(float value, Bfloat16* out) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  out->bits = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
double Wide(float value) { return value; }
double Wide(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

// Normally distributed numbers, each list from a seed of its own.
template <typename T>
std::vector<T> Draw(int64_t count, float deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<T> numbers(static_cast<size_t>(count));
  for (T& number : numbers) Store(normal(random), &number);
  return numbers;
}

// How far numbers may be from the formula, against the largest there is: the
// rounding of the result's type.
template <typename T>
constexpr double kTolerance = sizeof(T) == sizeof(float) ? 1e-6 : 1e-2;

template <typename T>
double Distance(std::span<const T> got, const std::vector<double>& want) {
  double difference = 0, largest = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    difference = std::max(difference, std::abs(Wide(got[i]) - want[i]));
    largest = std::max(largest, std::abs(want[i]));
  }
  return difference / largest;
}

// What differs by type in the tables.
template <typename T>
struct Of;
template <>
struct Of<float> {
  static constexpr auto kAttend = &Kernels::attend_float;
  static constexpr auto kKeyProducts = &Kernels::key_products_float;
  static constexpr auto kRmsNorm = &Kernels::rms_norm_float;
  static constexpr auto kSiluMul = &Kernels::silu_mul_float;
  static constexpr auto kMultiply = &Kernels::multiply_vectors_float;
  static constexpr auto kRotate = &Kernels::rotate_float;
};
template <>
struct Of<Bfloat16> {
  static constexpr auto kAttend = &Kernels::attend_bfloat16;
  static constexpr auto kKeyProducts = &Kernels::key_products_bfloat16;
  static constexpr auto kRmsNorm = &Kernels::rms_norm_bfloat16;
  static constexpr auto kSiluMul = &Kernels::silu_mul_bfloat16;
  static constexpr auto kMultiply = &Kernels::multiply_vectors_bfloat16;
  static constexpr auto kRotate = &Kernels::rotate_bfloat16;
};

template <typename T>
class KernelsTest : public ::testing::Test {};
using Types = ::testing::Types<float, Bfloat16>;
TYPED_TEST_SUITE(KernelsTest, Types);

TYPED_TEST(KernelsTest, RmsNormIsTheFormula) {
  using T = TypeParam;
  for (const Kernels* kernels : SupportedKernels())
    for (const int64_t size : kSizes) {
      const auto x = Draw<T>(size, 1, 1), weight = Draw<T>(size, 1, 2);
      std::vector<T> out(x.size());
      (kernels->*Of<T>::kRmsNorm)(x.data(), weight.data(), 1e-6f, size,
                                  out.data());
      double squares = 0;
      for (const T value : x) squares += Wide(value) * Wide(value);
      const double root = std::sqrt(squares / static_cast<double>(size) + 1e-6);
      std::vector<double> want;
      for (size_t i = 0; i < x.size(); ++i)
        want.push_back(Wide(x[i]) / root * Wide(weight[i]));
      EXPECT_LE(Distance<T>(out, want), kTolerance<T>)
          << kernels->name << " " << size;
    }
}

TYPED_TEST(KernelsTest, SiluMulIsTheFormula) {
  using T = TypeParam;
  for (const Kernels* kernels : SupportedKernels())
    for (const int64_t size : kSizes) {
      const FlushTinyNumbers guard;
      const auto gate = Draw<T>(size, 20, 3), up = Draw<T>(size, 20, 4);
      std::vector<T> out(gate.size());
      (kernels->*Of<T>::kSiluMul)(gate.data(), up.data(), size, out.data());
      std::vector<double> want;
      for (size_t i = 0; i < gate.size(); ++i)
        want.push_back(Wide(gate[i]) / (1 + std::exp(-Wide(gate[i]))) *
                       Wide(up[i]));
      EXPECT_LE(Distance<T>(out, want), kTolerance<T>)
          << kernels->name << " " << size;
    }
}

// Exponents that no int holds, too.
TYPED_TEST(KernelsTest, SiluMulOfExtremeGates) {
  using T = TypeParam;
  for (const Kernels* kernels : SupportedKernels())
    for (const float gate : {-200.0f, -1e9f, -1.49e9f, -1.5e9f, -3e9f, -1e19f,
                             -1e30f, -2e38f, 0.0f, 200.0f, 1e9f, 1e30f}) {
      T in, up, out;
      Store(gate, &in);
      Store(-2, &up);
      (kernels->*Of<T>::kSiluMul)(&in, &up, 1, &out);
      EXPECT_EQ(Wide(out), gate <= 0 ? 0 : Wide(in) * -2)
          << kernels->name << " " << gate;
    }
}

TYPED_TEST(KernelsTest, RotateIsTheFormulaAlsoInPlace) {
  using T = TypeParam;
  for (const Kernels* kernels : SupportedKernels())
    for (const int64_t half : {1, 3, 16, 20, 64}) {
      auto x = Draw<T>(2 * half, 1, 5);
      std::vector<float> cosines, sines;
      for (const float angle : Draw<float>(half, 2, 6)) {
        cosines.push_back(std::cos(angle));
        sines.push_back(std::sin(angle));
      }
      std::vector<double> want(x.size());
      for (int64_t i = 0; i < half; ++i) {
        const double a = Wide(x[i]), b = Wide(x[half + i]);
        want[i] = a * cosines[i] - b * sines[i];
        want[half + i] = b * cosines[i] + a * sines[i];
      }
      std::vector<T> out(x.size());
      for (T* to : {out.data(), x.data()}) {
        (kernels->*Of<T>::kRotate)(x.data(), cosines.data(), sines.data(), half,
                                   to);
        EXPECT_LE(Distance<T>({to, out.size()}, want), kTolerance<T>)
            << kernels->name << " " << half;
      }
    }
}

TYPED_TEST(KernelsTest, VectorsTimesAMatrixAreTheProduct) {
  using T = TypeParam;
  constexpr int64_t kRows = 7;
  for (const Kernels* kernels : SupportedKernels())
    for (const int64_t vectors : {1, 2, 6, 7})
      for (const int64_t size : kSizes) {
        const auto weights = Draw<T>(kRows * size, 1, 7);
        const auto x = Draw<T>(vectors * size, 1, 8);
        std::vector<float> out(static_cast<size_t>(vectors * kRows));
        VectorProducts<T> products;
        products.weights = weights.data();
        products.rows = kRows;
        products.size = size;
        products.x = x.data();
        products.vectors = vectors;
        products.out = out.data();
        products.out_stride = kRows;
        (kernels->*Of<T>::kMultiply)(products);
        for (int64_t v = 0; v < vectors; ++v)
          for (int64_t r = 0; r < kRows; ++r) {
            double want = 0, scale = 0;
            for (int64_t i = 0; i < size; ++i) {
              const double term =
                  Wide(weights[r * size + i]) * Wide(x[v * size + i]);
              want += term;
              scale += std::abs(term);
            }
            ASSERT_NEAR(out[v * kRows + r], want, 1e-6 * scale)
                << kernels->name << " " << vectors << " of " << size;
          }
      }
}

// ---- Keys and values ------------------------------------------------------

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Queries, keys and values of one head as lists of rows, and in units.
template <typename T>
struct Head {
  using U = typename Unit<T>::Type;
  static constexpr int kNumbers = Unit<T>::kNumbers;

  Head(int64_t rows, int64_t positions, int64_t size)
      : size(size),
        head_units((size + kNumbers - 1) / kNumbers),
        head_lanes(RoundUp(size, kLanes)),
        q(Draw<T>(rows * size, 2, 9)),
        k(Draw<T>(positions * size, 1, 10)),
        v(Draw<T>(positions * size, 1, 11)) {
    const int64_t whole = RoundUp(positions, kBlock);
    queries.resize(rows * head_units);
    keys.resize(whole * head_units);
    values.resize(whole / kNumbers * head_lanes);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t d = 0; d < size; ++d)
        Number(queries, r * head_units + d / kNumbers, d) = q[r * size + d];
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t d = 0; d < size; ++d) {
        Number(keys,
               (p / kLanes * head_units + d / kNumbers) * kLanes + p % kLanes,
               d) = k[p * size + d];
        Number(values, p / kNumbers * head_lanes + d, p) = v[p * size + d];
      }
  }

  // Number i modulo the numbers of a unit.
  static T& Number(std::vector<U>& units, int64_t unit, int64_t i) {
    return reinterpret_cast<T*>(
        &units[static_cast<size_t>(unit)])[i % kNumbers];
  }
  double Score(int64_t row, int64_t position) const {
    double score = 0;
    for (int64_t d = 0; d < size; ++d)
      score += Wide(q[row * size + d]) * Wide(k[position * size + d]);
    return score / std::sqrt(static_cast<double>(size));
  }

  int64_t size, head_units, head_lanes;
  std::vector<T> q, k, v;
  std::vector<U> queries, keys, values;
};

TYPED_TEST(KernelsTest, KeyProductsAreTheProduct) {
  using T = TypeParam;
  for (const Kernels* kernels : SupportedKernels())
    for (const int64_t size : {1, 7, 40, 64})
      for (const int64_t positions : {1, 15, 16, 17, 300}) {
        const Head<T> head(1, positions, size);
        auto direction = Draw<float>(size, 1, 12);
        direction.resize(head.head_units * Unit<T>::kNumbers);
        std::vector<float> out(static_cast<size_t>(positions));
        KeyProducts<T> products;
        products.keys = head.keys.data();
        products.head_units = static_cast<int>(head.head_units);
        products.direction = direction.data();
        products.positions = positions;
        products.out = out.data();
        (kernels->*Of<T>::kKeyProducts)(products);
        for (int64_t p = 0; p < positions; ++p) {
          double want = 0, scale = 0;
          for (int64_t d = 0; d < size; ++d) {
            const double term = Wide(head.k[p * size + d]) * direction[d];
            want += term;
            scale += std::abs(term);
          }
          ASSERT_NEAR(out[p], want, 1e-6 * scale) << kernels->name << " " << p;
        }
      }
}

// A tile with room for what it writes, as the engine gives it.
template <typename T>
struct Tile {
  Tile(const Head<T>& head, int rows, int64_t positions, int64_t queries)
      : blocks(RoundUp(positions, kBlock) / kBlock),
        limits(rows),
        output(rows * head.head_lanes),
        exponent(rows),
        sum(rows),
        weights(blocks * rows * kBlock),
        block_exponent(blocks * rows),
        lane_sums(rows * kLanes),
        scratch(rows * kBlock / Unit<T>::kNumbers) {
    for (int r = 0; r < rows; ++r)
      limits[r] = positions - queries + 1 + r * queries / rows;
    tile.rows = rows;
    tile.head_units = static_cast<int>(head.head_units);
    tile.head_lanes = static_cast<int>(head.head_lanes);
    tile.scale = static_cast<float>(std::log2(std::exp(1.0)) /
                                    std::sqrt(static_cast<double>(head.size)));
    tile.queries = head.queries.data();
    tile.keys = head.keys.data();
    tile.values = head.values.data();
    tile.limits = limits.data();
    tile.blocks = blocks;
    tile.output = output.data();
    tile.exponent = exponent.data();
    tile.sum = sum.data();
    tile.keep = true;
    tile.weights = weights.data();
    tile.block_exponent = block_exponent.data();
    tile.scratch = scratch.data();
    tile.lane_sums = lane_sums.data();
  }

  int64_t blocks;
  std::vector<int64_t> limits;
  std::vector<float> output, exponent, sum, weights, block_exponent, lane_sums;
  std::vector<typename Unit<T>::Type> scratch;
  AttentionTile<T> tile;
};

// Rows of three queries; sums over all rows, added in float64, and a row of the
// last query's.
TYPED_TEST(KernelsTest, AttentionAndItsColumnSumsAreTheFormula) {
  using T = TypeParam;
  constexpr int64_t kQueries = 3;
  constexpr double kOutputTolerance = sizeof(T) == sizeof(float) ? 1e-5 : 1e-2;
  for (const Kernels* kernels : SupportedKernels())
    for (const int per_group : {1, 7})
      for (const int64_t size : {7, 40, 64})
        for (const int64_t positions : {3, 255, 300, 513}) {
          SCOPED_TRACE(::testing::Message()
                       << kernels->name << ", group of " << per_group
                       << ", size " << size << ", N " << positions);
          const FlushTinyNumbers guard;
          const int rows = static_cast<int>(kQueries) * per_group;
          const Head<T> head(rows, positions, size);
          Tile<T> t(head, rows, positions, kQueries);
          (kernels->*Of<T>::kAttend)(t.tile);

          std::vector<double> sums(positions), row(positions);
          for (int r = 0; r < rows; ++r) {
            std::vector<double> weights(positions), output(size);
            double total = 0;
            for (int64_t p = 0; p < t.limits[r]; ++p)
              total += weights[p] = std::exp(head.Score(r, p));
            for (int64_t p = 0; p < positions; ++p) {
              weights[p] /= total;
              sums[p] += weights[p] / per_group;
              if (r >= rows - per_group) row[p] += weights[p] / per_group;
              for (int64_t d = 0; d < size; ++d)
                output[d] += weights[p] * Wide(head.v[p * size + d]);
            }
            std::vector<float> got(
                t.output.begin() + r * head.head_lanes,
                t.output.begin() + r * head.head_lanes + size);
            for (float& value : got) value /= t.sum[r];
            EXPECT_LE(Distance<float>(got, output), kOutputTolerance);
          }

          std::vector<float> row_weights(RoundUp(rows, kLanes));
          std::vector<double> added(positions, 5.0);
          std::vector<float> stored(positions);
          ColumnSums columns;
          columns.rows = rows;
          columns.end = rows;
          columns.blocks = t.blocks;
          columns.factor = 1 / static_cast<float>(per_group);
          columns.weights = t.weights.data();
          columns.block_exponent = t.block_exponent.data();
          columns.exponent = t.exponent.data();
          columns.sum = t.sum.data();
          columns.row_weights = row_weights.data();
          columns.columns = positions;
          columns.add_to = added.data();
          kernels->column_sums(columns);
          columns.add_to = nullptr;
          columns.begin = rows - per_group;
          columns.store = stored.data();
          kernels->column_sums(columns);
          for (int64_t p = 0; p < positions; ++p) {
            ASSERT_NEAR((added[p] - 5) / sums[p], 1, 3e-5) << p;
            ASSERT_NEAR(stored[p] / row[p], 1, 3e-5) << p;
          }
        }
}

}  // namespace
}  // namespace kvrecall::cpu
