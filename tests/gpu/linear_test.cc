// Products that are not rounded, against float64.

#include "server/engine/linear.h"

#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/linear_cuda.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"

namespace kvrecall {
namespace {

class LinearTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  at::Tensor Draw(std::vector<int64_t> shape) const {
    return at::randn(shape).to(OnDevice(GetParam()));
  }

  static at::Tensor Exactly(const at::Tensor& x, const at::Tensor& weight) {
    return at::mm(x.cpu().to(at::kDouble), weight.cpu().to(at::kDouble).t());
  }
};

// In bfloat16 too: its products are exact in float32.
TEST_P(LinearTest, EqualsTheExactProductInFloat32) {
  at::manual_seed(3);
  struct Shape {
    int64_t in, out;
  };
  for (const Shape s : {Shape{1, 1}, Shape{7, 33}, Shape{64, 15},
                        Shape{896, 1000}, Shape{3584, 2049}})
    for (const int64_t vectors : {1, 2, 5, 8, 13, 16, 35}) {
      SCOPED_TRACE(::testing::Message()
                   << vectors << " of " << s.in << " by " << s.out);
      const at::Tensor x = Draw({vectors, s.in}), weight = Draw({s.out, s.in});
      const at::Tensor y = MultiplyVectorsCuda(x, weight);
      EXPECT_EQ(y.scalar_type(), at::kFloat);
      EXPECT_LE(WorstError(y, Exactly(x, weight)), 2e-6);
      EXPECT_TRUE(SameBits(y, LinearToFloat(x, weight)));
      // Whatever rows are beside it.
      for (const int64_t v : {int64_t{0}, vectors - 1})
        EXPECT_TRUE(SameBits(y.narrow(0, v, 1),
                             MultiplyVectorsCuda(x.narrow(0, v, 1), weight)));
    }
}

// Of one row: rounded once, and once more where it is added.
TEST_P(LinearTest, OneRowIsRoundedWhereItsModuleRounds) {
  at::manual_seed(5);
  const double bound = GetParam() == at::kFloat ? 4e-6 : 0.004;
  for (const int64_t in : {7, 896, 3584})
    for (const int64_t out : {33, 1000}) {
      SCOPED_TRACE(::testing::Message() << in << " by " << out);
      const at::Tensor x = Draw({1, in}), weight = Draw({out, in});
      const at::Tensor bias = Draw({out}), before = Draw({1, out});
      const at::Tensor exact = Exactly(x, weight);
      const at::Tensor with_bias = exact + bias.cpu().to(at::kDouble);
      const at::Tensor y = Linear(x, weight, bias);
      EXPECT_EQ(y.scalar_type(), GetParam());
      EXPECT_LE(WorstError(y, with_bias), bound);
      EXPECT_LE(WorstError(Linear(x, weight, {}), exact), bound);
      at::Tensor sum = before.clone();
      AddLinear(sum, x, weight, bias);
      EXPECT_TRUE(SameBits(sum, before + y));
      sum = before.clone();
      AddLinear(sum, x, weight, {});
      EXPECT_TRUE(SameBits(sum, before + Linear(x, weight, {})));
    }
}

TEST_P(LinearTest, TakesRowsOfAWiderTensorAndAtAnyAddress) {
  at::manual_seed(4);
  const at::Tensor wide = Draw({6, 260}), weight = Draw({50, 256});
  for (const int64_t shift : {0, 1, 4}) {
    const at::Tensor x = wide.narrow(1, shift, 256);
    EXPECT_LE(WorstError(MultiplyVectorsCuda(x, weight), Exactly(x, weight)),
              2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, LinearTest,
                         ::testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace kvrecall
