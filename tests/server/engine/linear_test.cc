// Products of a few rows: each instruction set's kernel against the slow
// formula, and a row's bits with and without others beside it.

#include "server/engine/linear.h"

#include <type_traits>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/cpu/kernels.h"

namespace kvrecall {
namespace {

// Rows of a tile more than fit the registers, and one more than that.
constexpr int64_t kVectors[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17};
constexpr int64_t kWidths[] = {1, 15, 31, 32, 33, 64, 65, 96, 127, 1000};

template <typename T>
at::Tensor Multiply(const cpu::Kernels& kernels, const at::Tensor& x,
                    const at::Tensor& weight) {
  // Wider than what is written.
  at::Tensor out = at::full({x.size(0), weight.size(0) + 3}, -7.0f);
  cpu::VectorProducts<T> products;
  products.weights = static_cast<const T*>(weight.data_ptr());
  products.rows = weight.size(0);
  products.size = weight.size(1);
  products.x = static_cast<const T*>(x.data_ptr());
  products.vectors = x.size(0);
  products.out = out.data_ptr<float>();
  products.out_stride = out.size(1);
  if constexpr (std::is_same_v<T, float>)
    kernels.multiply_vectors_float(products);
  else
    kernels.multiply_vectors_bfloat16(products);
  EXPECT_TRUE(out.narrow(1, weight.size(0), 3).eq(-7).all().item<bool>());
  return out.narrow(1, 0, weight.size(0));
}

template <typename T>
void CompareVectors(at::ScalarType dtype) {
  at::manual_seed(31);
  for (const cpu::Kernels* kernels : cpu::SupportedKernels())
    for (const int64_t vectors : kVectors)
      for (const int64_t size : kWidths) {
        SCOPED_TRACE(::testing::Message() << kernels->name << ", " << vectors
                                          << " vectors of " << size);
        const at::Tensor x = at::randn({vectors, size}).to(dtype);
        const at::Tensor weight = at::randn({11, size}).to(dtype);
        const at::Tensor out = Multiply<T>(*kernels, x, weight);
        const at::Tensor wide_x = x.to(at::kDouble);
        const at::Tensor wide_weight = weight.to(at::kDouble);
        const at::Tensor want = at::matmul(wide_x, wide_weight.t());
        // Against the sum of the magnitudes: products may cancel.
        const at::Tensor scale =
            at::matmul(wide_x.abs(), wide_weight.abs().t());
        EXPECT_LE(((out - want).abs() / scale).max().item<double>(), 1e-6);
        for (int64_t v = 0; v < vectors; ++v)
          EXPECT_TRUE(at::equal(
              Multiply<T>(*kernels, x.narrow(0, v, 1).clone(), weight)[0],
              out[v]));
      }
}

TEST(VectorKernelsTest, EqualTheFormulaAndOneVectorAlone) {
  CompareVectors<float>(at::kFloat);
  CompareVectors<cpu::Bfloat16>(at::kBFloat16);
}

class LinearTest : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(LinearTest, UpToSixteenRowsEachComeOutAsAlone) {
  at::manual_seed(32);
  // Large enough for two threads.
  const at::Tensor weight = at::randn({700, 129}).to(GetParam());
  const at::Tensor bias = at::randn({700}).to(GetParam());
  for (const int64_t rows : {2, 6, 16}) {
    const at::Tensor x = at::randn({rows, 129}).to(GetParam());
    const at::Tensor out = Linear(x, weight, bias);
    const at::Tensor wide = LinearToFloat(x, weight);
    for (int64_t i = 0; i < rows; ++i) {
      const at::Tensor one = x.narrow(0, i, 1);
      EXPECT_TRUE(at::equal(Linear(one, weight, bias)[0], out[i]));
      EXPECT_TRUE(at::equal(LinearToFloat(one, weight)[0], wide[i]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, LinearTest,
                         ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& info) {
                           return info.param == at::kFloat ? "float32"
                                                           : "bfloat16";
                         });

}  // namespace
}  // namespace kvrecall
