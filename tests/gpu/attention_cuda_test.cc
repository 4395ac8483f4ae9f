// The CUDA cache as the model uses it: chunks behind past positions, then
// single queries; against float64 and against the cache of libtorch's
// operators.

#include "server/engine/attention_cuda.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/compat.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"

namespace kvrecall {
namespace {

at::Tensor Draw(std::vector<int64_t> shape, at::ScalarType dtype,
                double scale = 1) {
  return (at::randn(shape) * scale).to(OnDevice(dtype));
}

struct Shape {
  int64_t query_heads, kv_heads, head_dim;
};

// All that one way through a text yields.
struct Passed {
  at::Tensor output;  // [N, query_heads, head_dim]
  at::Tensor sums;    // [kv_heads, N], over all queries
  at::Tensor window;  // [kv_heads, N], over the last queries
  at::Tensor last;    // [kv_heads, N], the last query's row
};

constexpr int64_t kWindow = 31;

// Feeds queries, keys and values [N, heads, head_dim] in chunks, the last few
// one by one.
Passed Pass(KvCache& cache, const at::Tensor& queries, const at::Tensor& keys,
            const at::Tensor& values, int64_t chunk, int64_t singles) {
  const int64_t n = queries.size(0), kv_heads = keys.size(1);
  Passed passed;
  passed.sums = at::zeros({kv_heads, n}, OnDevice(at::kDouble));
  passed.window = at::zeros({kv_heads, n}, OnDevice(at::kDouble));
  passed.last = at::zeros({kv_heads, n}, OnDevice(at::kFloat));
  std::vector<at::Tensor> outputs;
  for (int64_t begin = 0; begin < n;) {
    const int64_t count =
        begin < n - singles ? std::min(chunk, n - singles - begin) : 1;
    const int64_t end = begin + count;
    cache.Write(0, begin, keys.narrow(0, begin, count),
                values.narrow(0, begin, count));
    AttentionRequest request;
    request.sums = {{0, passed.sums},
                    {std::max<int64_t>(n - kWindow - begin, 0), passed.window}};
    if (end == n) request.rows = {{count - 1, passed.last}};
    outputs.push_back(
        cache.Attend(0, end, queries.narrow(0, begin, count), request).output);
    begin = end;
  }
  passed.output = at::cat(outputs, 0);
  return passed;
}

class CacheTest
    : public ::testing::TestWithParam<std::tuple<Shape, at::ScalarType>> {};

TEST_P(CacheTest, ChunksAndSinglesEqualTheExactAttention) {
  const auto [shape, dtype] = GetParam();
  constexpr int64_t kN = 700;
  at::manual_seed(17);
  // Queries as a part of a joined projection, as in use.
  const at::Tensor joined = Draw(
      {kN, shape.query_heads + 2 * shape.kv_heads, shape.head_dim}, dtype, 1.3);
  const at::Tensor queries = joined.narrow(1, 0, shape.query_heads);
  const at::Tensor keys = joined.narrow(1, shape.query_heads, shape.kv_heads);
  const at::Tensor values =
      joined.narrow(1, shape.query_heads + shape.kv_heads, shape.kv_heads);
  const ExactAttention exact =
      AttendExactly(queries, keys.transpose(0, 1), values.transpose(0, 1));
  const at::Tensor sums = exact.weights.sum(std::vector<int64_t>{1});
  const at::Tensor window = exact.weights.narrow(1, kN - kWindow, kWindow)
                                .sum(std::vector<int64_t>{1});
  const bool is_float = dtype == at::kFloat;
  const KvShape cache_shape{1, shape.kv_heads, shape.head_dim, kN + 9};
  ASSERT_TRUE(CudaKvCacheTakes(cache_shape, OnDevice(dtype)));
  for (const int64_t chunk : {kN, int64_t{256}, int64_t{97}}) {
    for (const int64_t singles : {0, 3}) {
      const auto pass = [&] {
        const std::unique_ptr<KvCache> cache =
            MakeKvCache(cache_shape, OnDevice(dtype));
        return Pass(*cache, queries, keys, values, chunk, singles);
      };
      const Passed passed = pass();
      EXPECT_LE(WorstError(passed.output, exact.output),
                is_float ? 1e-5 : 1e-2);
      EXPECT_LE(WorstRelativeError(passed.sums, sums), is_float ? 3e-5 : 1e-3);
      EXPECT_LE(WorstRelativeError(passed.window, window),
                is_float ? 3e-5 : 1e-3);
      EXPECT_LE(
          WorstRelativeError(passed.last, exact.weights.select(1, kN - 1)),
          is_float ? 3e-5 : 1e-3);
      const Passed again = pass();
      EXPECT_TRUE(SameBits(passed.output, again.output));
      EXPECT_TRUE(SameBits(passed.sums, again.sums));
      EXPECT_TRUE(SameBits(passed.window, again.window));
      EXPECT_TRUE(SameBits(passed.last, again.last));
    }
  }
}

TEST_P(CacheTest, EqualsTheCacheOfLibtorchsOperators) {
  const auto [shape, dtype] = GetParam();
  constexpr int64_t kN = 1500;
  at::manual_seed(19);
  const at::Tensor queries =
      Draw({kN, shape.query_heads, shape.head_dim}, dtype, 2);
  const at::Tensor keys = Draw({kN, shape.kv_heads, shape.head_dim}, dtype);
  const at::Tensor values = Draw({kN, shape.kv_heads, shape.head_dim}, dtype);
  const KvShape cache_shape{1, shape.kv_heads, shape.head_dim, kN};
  const auto pass = [&](std::unique_ptr<KvCache> cache) {
    return Pass(*cache, queries, keys, values, 512, 2);
  };
  const Passed fast = pass(MakeCudaKvCache(cache_shape, OnDevice(dtype)));
  const Passed slow = pass(MakeAtenKvCache(cache_shape, OnDevice(dtype)));
  const bool is_float = dtype == at::kFloat;
  EXPECT_LE(WorstError(fast.output, slow.output), is_float ? 1e-5 : 1e-2);
  EXPECT_LE(WorstRelativeError(fast.sums, slow.sums), is_float ? 5e-5 : 1e-3);
  EXPECT_LE(WorstError(fast.last, slow.last), is_float ? 5e-5 : 1e-3);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, CacheTest,
    ::testing::Combine(::testing::Values(Shape{28, 4, 128}, Shape{14, 2, 64},
                                         Shape{5, 1, 80}, Shape{6, 2, 96},
                                         Shape{9, 1, 64}),  // a group of nine
                       ::testing::Values(at::kFloat, at::kBFloat16)));

// The trap: a causal mask that is aligned to the top left would let the first
// query see one position instead of all that are past.
TEST(FlashAttentionTest, MaskIsAlignedToTheBottomRight) {
  struct Case {
    int64_t tq, n;
  };
  at::manual_seed(23);
  for (const Case c : {Case{2, 2}, Case{5, 64}, Case{128, 1000},
                       Case{1000, 1000}, Case{512, 4096}}) {
    const at::Tensor queries = Draw({c.tq, 28, 128}, at::kBFloat16);
    const at::Tensor keys = Draw({4, c.n, 128}, at::kBFloat16);
    const at::Tensor values = Draw({4, c.n, 128}, at::kBFloat16);
    const AttentionResult flash = FlashAttention(queries, keys, values);
    const ExactAttention exact = AttendExactly(queries, keys, values);
    EXPECT_EQ(flash.output.sizes(), queries.sizes());
    EXPECT_EQ(flash.log_sum_exp.sizes(), exact.log_sum_exp.sizes());
    EXPECT_EQ(flash.log_sum_exp.scalar_type(), at::kFloat);
    EXPECT_LE(WorstError(flash.output, exact.output), 1e-2) << c.tq;
    EXPECT_LE(WorstError(flash.log_sum_exp, exact.log_sum_exp), 1e-5) << c.tq;
  }
}

}  // namespace
}  // namespace kvrecall
