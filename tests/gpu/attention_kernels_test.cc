// The attention kernels against float64, at many shapes, and twice with the
// same bits. What FlashAttention yields is not needed here: the log-sum-exps
// are the exact ones.

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/attention_cuda_kernels.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"

namespace kvrecall {
namespace {

struct Case {
  int64_t tq, n, query_heads, kv_heads, head_dim;
};

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.tq << " of " << c.n << ", " << c.query_heads << "/"
             << c.kv_heads << " heads of " << c.head_dim;
}

struct Inputs {
  at::Tensor queries, keys, values;
};

// Keys and values are views of a longer cache, as in use.
Inputs Draw(const Case& c, at::ScalarType dtype) {
  at::manual_seed(c.tq * 131 + c.n);
  const auto draw = [&](std::vector<int64_t> shape, double scale) {
    return (at::randn(shape) * scale).to(OnDevice(dtype));
  };
  const at::Tensor cache = draw({2, c.kv_heads, c.n + 5, c.head_dim}, 1);
  return {draw({c.tq, c.query_heads, c.head_dim}, 1.5),
          cache[0].narrow(1, 0, c.n), cache[1].narrow(1, 0, c.n)};
}

// The products of bfloat16 numbers are exact in float32, so both dtypes are
// held to float32's accuracy, but for outputs that are rounded to bfloat16.
constexpr double kTolerance = 3e-5;

double OutputTolerance(at::ScalarType dtype) {
  return dtype == at::kFloat ? 1e-5 : 1e-2;
}

class KernelTest
    : public ::testing::TestWithParam<std::tuple<Case, at::ScalarType>> {
 protected:
  const Case case_ = std::get<0>(GetParam());
  const at::ScalarType dtype_ = std::get<1>(GetParam());
  const Inputs inputs_ = Draw(case_, dtype_);
  const ExactAttention exact_ =
      AttendExactly(inputs_.queries, inputs_.keys, inputs_.values);
  const at::Tensor lse_ =
      exact_.log_sum_exp.to(OnDevice(at::kFloat)).contiguous();
};

TEST_P(KernelTest, ColumnSumsEqualTheExactOnes) {
  const int64_t tq = case_.tq;
  for (const int64_t from : {int64_t{0}, tq / 3, tq - 1}) {
    const auto add = [&] {
      // Longer than N, and not empty before.
      at::Tensor sums =
          at::full({case_.kv_heads, case_.n + 3}, 2.0, OnDevice(at::kDouble));
      AddColumnSumsCuda(inputs_.queries, inputs_.keys, lse_, from, sums);
      return sums;
    };
    const at::Tensor sums = add();
    EXPECT_LE(WorstRelativeError(sums.narrow(1, 0, case_.n) - 2,
                                 exact_.weights.narrow(1, from, tq - from)
                                     .sum(std::vector<int64_t>{1})),
              kTolerance)
        << from;
    EXPECT_EQ(sums.narrow(1, case_.n, 3).min().item<double>(), 2);
    EXPECT_EQ(sums.narrow(1, case_.n, 3).max().item<double>(), 2);
    EXPECT_TRUE(SameBits(sums, add()));
  }
}

TEST_P(KernelTest, RowsEqualTheExactOnes) {
  for (const int64_t query : {int64_t{0}, case_.tq / 2, case_.tq - 1}) {
    const auto store = [&] {
      at::Tensor row =
          at::full({case_.kv_heads, case_.n + 3}, -1.0f, OnDevice(at::kFloat));
      StoreRowCuda(inputs_.queries, inputs_.keys, lse_, query, row);
      return row;
    };
    const at::Tensor row = store();
    EXPECT_LE(WorstRelativeError(row.narrow(1, 0, case_.n),
                                 exact_.weights.select(1, query)),
              kTolerance)
        << query;
    EXPECT_EQ(row.narrow(1, case_.n, 3).max().item<float>(), -1);
    EXPECT_TRUE(SameBits(row, store()));
  }
}

TEST_P(KernelTest, OneQueryYieldsOutputLogSumExpAndRow) {
  const int64_t last = case_.tq - 1;
  const at::Tensor query = inputs_.queries.narrow(0, last, 1);
  const auto decode = [&](at::Tensor row) {
    return DecodeCuda(query, inputs_.keys, inputs_.values, row);
  };
  const at::Tensor row =
      at::full({case_.kv_heads, case_.n + 3}, -1.0f, OnDevice(at::kFloat));
  const AttentionResult result = decode(row);
  EXPECT_EQ(result.output.scalar_type(), dtype_);
  EXPECT_LE(WorstError(result.output[0], exact_.output[last]),
            OutputTolerance(dtype_));
  EXPECT_LE((result.log_sum_exp.cpu().to(at::kDouble) -
             exact_.log_sum_exp.narrow(1, last, 1))
                .abs()
                .max()
                .item<double>(),
            1e-5);
  EXPECT_LE(WorstRelativeError(row.narrow(1, 0, case_.n),
                               exact_.weights.select(1, last)),
            kTolerance);
  EXPECT_EQ(row.narrow(1, case_.n, 3).max().item<float>(), -1);
  // Without a row, and again: the same bits.
  EXPECT_TRUE(SameBits(result.output, decode({}).output));
  const at::Tensor again = at::full_like(row, -1.0f);
  EXPECT_TRUE(SameBits(result.log_sum_exp, decode(again).log_sum_exp));
  EXPECT_TRUE(SameBits(row, again));
}

const auto kDtypes = ::testing::Values(at::kFloat, at::kBFloat16);

INSTANTIATE_TEST_SUITE_P(
    Small, KernelTest,
    ::testing::Combine(
        ::testing::Values(Case{1, 1, 1, 1, 64}, Case{1, 130, 7, 1, 128},
                          Case{5, 5, 2, 2, 80}, Case{3, 67, 3, 1, 96},
                          Case{17, 300, 8, 4, 64}, Case{70, 70, 5, 1, 128},
                          Case{33, 257, 6, 1, 32}, Case{65, 191, 4, 2, 72},
                          Case{40, 290, 8, 1, 120}, Case{300, 310, 2, 1, 8}),
        kDtypes));

INSTANTIATE_TEST_SUITE_P(
    Large, KernelTest,
    ::testing::Combine(::testing::Values(Case{256, 4096, 28, 4, 128},
                                         Case{1000, 1000, 28, 4, 128},
                                         Case{2048, 3001, 14, 2, 64},
                                         Case{4500, 4600, 6, 2, 128},
                                         Case{64, 32768, 7, 1, 128},
                                         Case{513, 2049, 40, 8, 80},
                                         Case{777, 1555, 12, 4, 96}),
                       kDtypes));

TEST(WeightTest, BelowTheSmallestNormalFloatCountsAsZero) {
  // Scores 0, −90 and −80: exp(−90) is denormal in float32.
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    at::Tensor keys = at::zeros({1, 3, 64});
    keys[0][1][0] = -90;
    keys[0][2][0] = -80;
    keys = keys.to(OnDevice(dtype));
    at::Tensor query = at::zeros({1, 1, 64});
    query[0][0][0] = 8;  // √64
    query = query.to(OnDevice(dtype));
    at::Tensor row = at::empty({1, 3}, OnDevice(at::kFloat));
    const AttentionResult result = DecodeCuda(query, keys, keys, row);
    at::Tensor sums = at::zeros({1, 3}, OnDevice(at::kDouble));
    AddColumnSumsCuda(query, keys, result.log_sum_exp, 0, sums);
    EXPECT_EQ(row[0][1].item<float>(), 0);
    EXPECT_GT(row[0][2].item<float>(), 0);
    EXPECT_EQ(sums[0][1].item<double>(), 0);
    EXPECT_GT(sums[0][2].item<double>(), 0);
  }
}

TEST(StoreTest, KeysAndValuesComeFromAnyView) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    // As three parts of one projection; and at an odd address.
    const at::Tensor fused = at::randn({9, 4, 64 + 64 + 1}).to(OnDevice(dtype));
    for (const int64_t shift : {0, 1}) {
      const at::Tensor keys = fused.narrow(2, shift, 64);
      const at::Tensor values = fused.narrow(2, 64 + shift, 64);
      for (const bool whole : {false, true}) {
        const at::Tensor k = whole ? keys.contiguous() : keys;
        const at::Tensor v = whole ? values.contiguous() : values;
        at::Tensor cache = at::zeros({2, 4, 20, 64}, OnDevice(dtype));
        StoreKeysValuesCuda(k, v, cache.narrow(2, 3, 9));
        EXPECT_TRUE(at::equal(cache[0].narrow(1, 3, 9), keys.transpose(0, 1)));
        EXPECT_TRUE(
            at::equal(cache[1].narrow(1, 3, 9), values.transpose(0, 1)));
        EXPECT_EQ(cache.narrow(2, 0, 3).abs().max().item<float>(), 0);
        EXPECT_EQ(cache.narrow(2, 12, 8).abs().max().item<float>(), 0);
      }
    }
  }
}

}  // namespace
}  // namespace kvrecall
