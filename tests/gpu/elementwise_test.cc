// The element-wise kernels against libtorch's operators, which round at the
// same places.

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/elementwise_cuda.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"

namespace kvrecall {
namespace {

class ElementwiseTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  at::Tensor Draw(std::vector<int64_t> shape) const {
    at::manual_seed(11);
    return (at::randn(shape) * 2).to(OnDevice(GetParam()));
  }

  // A last bit of the dtype either way.
  double Tolerance() const { return GetParam() == at::kFloat ? 2e-6 : 8e-3; }
};

at::Tensor SlowRmsNorm(const at::Tensor& x, const at::Tensor& weight,
                       double eps) {
  const at::Tensor f = x.to(at::kFloat);
  const at::Tensor variance = f.square().mean(-1, /*keepdim=*/true);
  return weight * (f * at::rsqrt(variance + eps)).to(x.scalar_type());
}

TEST_P(ElementwiseTest, RmsNormEqualsLibtorch) {
  for (const int64_t size : {1, 7, 64, 128, 896, 3584, 18944}) {
    const at::Tensor x = Draw({5, size});
    const at::Tensor weight = Draw({size});
    const at::Tensor y = RmsNormCuda(x, weight, 1e-6);
    EXPECT_LE(WorstError(y, SlowRmsNorm(x, weight, 1e-6)), Tolerance()) << size;
    EXPECT_TRUE(SameBits(y, RmsNormCuda(x, weight, 1e-6)));
  }
}

TEST_P(ElementwiseTest, RmsNormTakesHeadsOfAJoinedProjection) {
  const at::Tensor weight = Draw({128});
  struct Part {
    int64_t width, shift;
  };
  for (const int64_t first : {0, 2}) {
    // Eight numbers at once in the first two, one by one in the others.
    for (const Part part :
         {Part{128, 0}, Part{136, 8}, Part{136, 1}, Part{129, 0}}) {
      const at::Tensor x = Draw({6, 9, part.width})
                               .narrow(1, first, 7)
                               .narrow(2, part.shift, 128);
      const at::Tensor y = RmsNormCuda(x, weight, 1e-5);
      EXPECT_TRUE(y.is_contiguous());
      EXPECT_LE(WorstError(y, SlowRmsNorm(x, weight, 1e-5)), Tolerance());
    }
  }
}

TEST_P(ElementwiseTest, SiluMulEqualsLibtorch) {
  for (const int64_t ffn : {1, 5, 8, 4864, 18944}) {
    const at::Tensor x = Draw({7, 2 * ffn}) * 4;
    const at::Tensor y = SiluMulCuda(x);
    EXPECT_LE(
        WorstError(y, at::silu(x.narrow(1, 0, ffn)) * x.narrow(1, ffn, ffn)),
        Tolerance())
        << ffn;
    EXPECT_TRUE(SameBits(y, SiluMulCuda(x)));
  }
}

// More rows than a grid's second dimension has.
TEST_P(ElementwiseTest, SiluMulTakesTheLongestChunk) {
  const at::Tensor x = Draw({65537, 16});
  EXPECT_LE(WorstError(SiluMulCuda(x),
                       at::silu(x.narrow(1, 0, 8)) * x.narrow(1, 8, 8)),
            Tolerance());
}

TEST_P(ElementwiseTest, SiluOfLargeNumbersIsFinite) {
  const at::Tensor x =
      at::tensor({-200.0f, 200.0f, -1e30f, 1e30f, 1.0f, 1.0f, 1.0f, 1.0f})
          .view({1, 8})
          .to(OnDevice(GetParam()));
  const at::Tensor y = SiluMulCuda(x).to(at::kFloat);
  EXPECT_TRUE(at::isfinite(y).all().item<bool>());
  EXPECT_EQ(y[0][2].item<float>(), 0);
}

TEST_P(ElementwiseTest, RotationEqualsLibtorchBitForBit) {
  struct Shape {
    int64_t tokens, heads, head_dim;
  };
  for (const Shape s : {Shape{1, 1, 2}, Shape{3, 2, 6}, Shape{9, 28, 128},
                        Shape{65, 4, 80}, Shape{2, 14, 64}}) {
    const at::Tensor angles = at::rand({s.tokens, s.head_dim / 2}) * 100;
    const at::Tensor cos = angles.cos().to(OnDevice(at::kFloat));
    const at::Tensor sin = angles.sin().to(OnDevice(at::kFloat));
    // A part of a joined projection, and what lies beside it.
    const at::Tensor joined = Draw({s.tokens, s.heads + 2, s.head_dim});
    const at::Tensor before = joined.clone();
    const at::Tensor x = joined.narrow(1, 1, s.heads);
    const int64_t half = s.head_dim / 2;
    const at::Tensor a = x.narrow(2, 0, half).to(at::kFloat).contiguous();
    const at::Tensor b = x.narrow(2, half, half).to(at::kFloat).contiguous();
    const at::Tensor c = cos.unsqueeze(1), d = sin.unsqueeze(1);
    const at::Tensor first = a * c, second = b * d;
    const at::Tensor third = b * c, fourth = a * d;
    const at::Tensor expected =
        at::cat({first - second, third + fourth}, 2).to(GetParam());
    RotateInPlaceCuda(x, cos, sin);
    EXPECT_TRUE(at::equal(x, expected));
    EXPECT_TRUE(at::equal(joined.select(1, 0), before.select(1, 0)));
    EXPECT_TRUE(at::equal(joined.select(1, s.heads + 1),
                          before.select(1, s.heads + 1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, ElementwiseTest,
                         ::testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace kvrecall
