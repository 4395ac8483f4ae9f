#include "server/engine/elementwise.h"

#include <algorithm>
#include <cmath>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/cpu/kernels.h"
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

}  // namespace
}  // namespace kvrecall
