#include "server/telemetry/pyramidkv.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

TEST(PyramidSizesTest, FallWithTheLayerAndKeepTheirSum) {
  // least (100 − 20)/20 = 4, most 2 · 80 − 4 = 156, fall (156 − 4)/3 = 50.
  EXPECT_EQ(PyramidSizes(4, 100, 20, 1000), (Positions{175, 125, 75, 25}));
  // Clipped to the prompt: most 80, least 80.
  EXPECT_EQ(PyramidSizes(3, 100, 20, 100), (Positions{100, 100, 100}));
  EXPECT_EQ(PyramidSizes(3, 20, 20, 1000), (Positions{20, 20, 20}));
  EXPECT_EQ(PyramidSizes(1, 50, 20, 1000), (Positions{50}));
  for (int64_t k = 1; k <= 130; ++k)
    for (const int64_t layers : {2, 5, 24}) {
      const std::vector<int64_t> sizes = PyramidSizes(layers, k, 8, 120);
      int64_t sum = 0;
      for (const int64_t size : sizes) {
        sum += size;
        EXPECT_GE(size, 1);
        EXPECT_LE(size, std::max<int64_t>(k, 120));
      }
      EXPECT_EQ(sum, layers * k);
    }
}

TEST(PyramidKvPolicyTest, EachLayersRowsHaveItsSize) {
  PyramidKvPolicy policy(20, 7);
  StepView view = View(std::vector<double>(999));
  const int64_t ks[] = {100, 20};
  view.ks = ks;
  view.layers = 4;
  view.rows = 8;  // two groups a layer
  EXPECT_EQ(policy.Sizes(view), (Positions{175, 20, 175, 20, 125, 20, 125, 20,
                                           75, 20, 75, 20, 25, 20, 25, 20}));
}

}  // namespace
}  // namespace kvrecall
