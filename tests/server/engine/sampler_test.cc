#include "server/engine/sampler.h"

#include "ATen/ATen.h"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(SamplerTest, TakesTheLowestIdOnATie) {
  at::Tensor logits = at::zeros({1000});
  EXPECT_EQ(GreedyToken(logits), 0);
  logits[700] = 2;
  logits[300] = 2;
  EXPECT_EQ(GreedyToken(logits), 300);
  logits[999] = 3;
  EXPECT_EQ(GreedyToken(logits), 999);
}

}  // namespace
}  // namespace kvrecall
