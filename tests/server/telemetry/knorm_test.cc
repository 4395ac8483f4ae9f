#include "server/telemetry/knorm.h"

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

// Norms of two layers with one group.
StepView NormView(const std::vector<float>& first,
                  const std::vector<float>& second, Scope scope) {
  StepView view = View(std::vector<double>(first.size()));
  view.scope = scope;
  view.layers = 2;
  view.rows = scope == Scope::kGlobal ? 1 : 2;
  view.key_norms =
      at::stack({at::tensor(first), at::tensor(second)}).unsqueeze(1);
  return view;
}

TEST(KnormPolicyTest, KeepsTheSmallestNorms) {
  KnormPolicy policy;
  EXPECT_EQ(Held(policy, NormView({3, 1, 2}, {3, 2, 1.5f}, Scope::kGlobal), 2),
            (Positions{1, 3}));
}

TEST(KnormPolicyTest, TakesInNewPositionsAsTheyCome) {
  KnormPolicy policy;
  std::vector<float> norms = {3, 1};
  EXPECT_EQ(Held(policy, NormView(norms, norms, Scope::kGlobal), 2),
            (Positions{1, 2}));
  for (int i = 0; i < 200; ++i) norms.push_back(5);
  norms.push_back(0.5f);
  EXPECT_EQ(Held(policy, NormView(norms, norms, Scope::kGlobal), 3),
            (Positions{1, 202, 203}));
}

TEST(KnormPolicyTest, OfEqualNormsTheFirstAreKept) {
  KnormPolicy policy;
  EXPECT_EQ(Held(policy, NormView({2, 2, 2}, {2, 2, 2}, Scope::kGlobal), 3),
            (Positions{0, 1, 3}));
}

TEST(KnormPolicyTest, ARowOfALayerHasTheLayersNorms) {
  KnormPolicy policy;
  const at::Tensor scores =
      policy.Score(NormView({3, 1}, {4, 2}, Scope::kLayer)).values;
  EXPECT_TRUE(
      at::equal(scores, -at::tensor({3.0f, 1.0f, 4.0f, 2.0f}).view({2, 2})));
}

}  // namespace
}  // namespace kvrecall
