#include "server/engine/elementwise.h"

#include <algorithm>
#include <cmath>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/cpu/kernels.h"
#include "server/cpu/row_kernels.h"
#include "server/engine/linear.h"

namespace kvrecall {
namespace {

constexpr int64_t kSizes[] = {1, 2, 15, 16, 17, 64, 896, 1001};

// The largest difference, against the largest value there is.
double Distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).abs().max() /
          b.to(at::kDouble).abs().max())
      .item<double>();
}

double Tolerance(at::ScalarType dtype) {
  return dtype == at::kFloat ? 1e-6 : 1e-2;
}

class DtypeTest : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(DtypeTest, RmsNormIsTheFormula) {
  for (const int64_t size : kSizes) {
    const at::Tensor x = at::randn({3, size}).to(GetParam());
    const at::Tensor weight = at::randn({size}).to(GetParam());
    const at::Tensor wide = x.to(at::kDouble);
    const at::Tensor want = wide *
                            at::rsqrt(wide.square().mean(-1, true) + 1e-6) *
                            weight.to(at::kDouble);
    EXPECT_LE(Distance(RmsNorm(x, weight, 1e-6), want), Tolerance(GetParam()));
  }
}

TEST_P(DtypeTest, RmsNormOfHeadsReadsThroughStrides) {
  const at::Tensor all = at::randn({4, 6, 32}).to(GetParam());
  const at::Tensor weight = at::randn({32}).to(GetParam());
  const at::Tensor heads = all.narrow(1, 2, 3);
  EXPECT_TRUE(at::equal(RmsNorm(heads, weight, 1e-5),
                        RmsNorm(heads.contiguous().view({12, 32}), weight, 1e-5)
                            .view({4, 3, 32})));
}

TEST_P(DtypeTest, SiluMulIsTheFormula) {
  for (const int64_t size : kSizes) {
    const at::Tensor x = (at::randn({3, 2 * size}) * 20).to(GetParam());
    const at::Tensor wide = x.to(at::kDouble);
    const at::Tensor gate = wide.narrow(1, 0, size);
    EXPECT_LE(Distance(SiluMul(x),
                       gate * at::sigmoid(gate) * wide.narrow(1, size, size)),
              Tolerance(GetParam()));
  }
}

TEST_P(DtypeTest, SiluMulOfExtremeGatesIsFinite) {
  const at::Tensor x =
      at::tensor({-1e30f, -200.0f, 200.0f, 0.0f, 1.0f, 1.0f, 1.0f, 1.0f})
          .view({1, 8})
          .to(GetParam());
  const at::Tensor y = SiluMul(x);
  EXPECT_TRUE(y.isfinite().all().item<bool>());
  EXPECT_EQ(y[0][0].item<float>(), 0);
  EXPECT_EQ(y[0][2].item<float>(), 200);
}

TEST_P(DtypeTest, RotateIsTheFormula) {
  for (const int64_t half : {1, 3, 16, 20, 64}) {
    const at::Tensor all = at::randn({5, 4, 2 * half}).to(GetParam());
    const at::Tensor angles = at::randn({5, half});
    const at::Tensor x = all.narrow(1, 1, 2);
    const at::Tensor wide = x.to(at::kDouble).clone();
    const at::Tensor untouched = all.select(1, 3).clone();
    RotateInPlace(x, angles.cos(), angles.sin());
    const at::Tensor c = angles.cos().unsqueeze(1);
    const at::Tensor s = angles.sin().unsqueeze(1);
    const at::Tensor a = wide.narrow(2, 0, half),
                     b = wide.narrow(2, half, half);
    EXPECT_LE(Distance(x, at::cat({a * c - b * s, b * c + a * s}, 2)),
              Tolerance(GetParam()));
    EXPECT_TRUE(at::equal(all.select(1, 3), untouched));
  }
}

TEST_P(DtypeTest, LinearIsTheProduct) {
  // A thousand float32 sums, in any order.
  constexpr double kSums = 2e-6;
  const double tolerance = std::max(kSums, Tolerance(GetParam()));
  for (const int64_t rows : {1, 2, 7, 16, 17, 64})
    for (const int64_t in : {1, 31, 33, 96, 1000}) {
      const at::Tensor x = at::randn({rows, in}).to(GetParam());
      const at::Tensor weight = at::randn({37, in}).to(GetParam());
      const at::Tensor bias = at::randn({37}).to(GetParam());
      const at::Tensor want =
          at::matmul(x.to(at::kDouble), weight.to(at::kDouble).t());
      EXPECT_LE(Distance(Linear(x, weight, {}), want), tolerance);
      EXPECT_LE(Distance(Linear(x, weight, bias), want + bias), tolerance);
      // Sums are in float32 and are not rounded after.
      EXPECT_LE(Distance(LinearToFloat(x, weight), want), kSums);
    }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, DtypeTest,
                         ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) {
                           return info.param == at::kFloat ? "float32"
                                                           : "bfloat16";
                         });

// Each instruction set's kernels against the slow formula.
TEST(RowKernelsTest, LogitsEntropyAndSumsEqualTheFormulas) {
  at::manual_seed(4);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : {1, 2, 15, 16, 17, 1024, 1025, 5000}) {
      const at::Tensor z = at::randn({n}) * 5;
      const cpu::LogitSums sums = kernels->sum_logits(z.data_ptr<float>(), n);
      const at::Tensor wide = z.to(at::kDouble);
      const at::Tensor e = (wide - wide.max()).exp();
      ASSERT_TRUE(sums.finite);
      EXPECT_EQ(sums.largest, z.max().item<float>());
      EXPECT_EQ(sums.best, z.argmax().item<int64_t>());
      EXPECT_NEAR(sums.sum / e.sum().item<double>(), 1, 1e-6);
      const double weighted = (e * (wide - wide.max())).sum().item<double>();
      EXPECT_NEAR(sums.weighted, weighted, 1e-6 * (1 + std::abs(weighted)));
      if (n > 1) {
        EXPECT_EQ(sums.second, std::get<0>(z.topk(2))[1].item<float>());
      }
      const at::Tensor p = at::softmax(z, 0);
      const at::Tensor q = p.to(at::kDouble);
      EXPECT_NEAR(kernels->entropy(p.data_ptr<float>(), n),
                  -at::xlogy(q, q).sum().item<double>(), 2e-6);
      at::Tensor into = at::randn({n}, at::kDouble);
      const at::Tensor want = into + q;
      kernels->add_to_doubles(p.data_ptr<float>(), n, into.data_ptr<double>());
      EXPECT_TRUE(at::equal(into, want));
    }
}

TEST(RowKernelsTest, ALogitThatIsNotFiniteIsSeenWhereverItStands) {
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const float bad : {NAN, INFINITY, -INFINITY})
      for (const int64_t at : {0, 15, 16, 36}) {
        at::Tensor z = at::randn({37});
        z[at] = bad;
        EXPECT_FALSE(kernels->sum_logits(z.data_ptr<float>(), 37).finite);
      }
}

TEST(RowKernelsTest, ZerosHaveNoPartInTheEntropy) {
  const float p[] = {0, 0.5f, 0, 0.5f, 0};
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    EXPECT_NEAR(kernels->entropy(p, 5), std::log(2.0), 1e-6);
}

}  // namespace
}  // namespace kvrecall
