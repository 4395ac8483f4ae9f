#include "server/telemetry/keydiff.h"

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

StepView SimilarityView(const std::vector<float>& similarities) {
  StepView view = View(std::vector<double>(similarities.size()));
  view.key_similarities = at::tensor(similarities).view({1, 1, -1});
  return view;
}

TEST(KeyDiffPolicyTest, KeepsTheKeysLeastLikeTheMean) {
  KeyDiffPolicy policy;
  EXPECT_EQ(Held(policy, SimilarityView({0.9f, -0.5f, 0.1f}), 3),
            (Positions{1, 2, 3}));
}

TEST(KeyDiffPolicyTest, OfEqualSimilaritiesTheFirstAreKept) {
  KeyDiffPolicy policy;
  EXPECT_EQ(Held(policy, SimilarityView({0.5f, 0.5f, 0.5f}), 2),
            (Positions{0, 3}));
}

TEST(KeyDiffPolicyTest, TheWholeBudgetHoldsEverything) {
  KeyDiffPolicy policy;
  EXPECT_EQ(Held(policy, SimilarityView({0.5f, 0.1f}), 3),
            (Positions{0, 1, 2}));
}

}  // namespace
}  // namespace kvrecall
