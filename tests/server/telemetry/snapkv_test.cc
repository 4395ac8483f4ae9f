#include "server/telemetry/snapkv.h"

#include <map>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "tests/server/telemetry/policy_testing.h"

namespace kvrecall {
namespace {

// Step `step` of a text of `prompt` tokens, whose window sums are `sums` and
// whose query before had `row`.
StepView SnapView(int64_t prompt, int64_t step,
                  std::map<int64_t, at::Tensor>& sums, const at::Tensor& row) {
  StepView view;
  view.step = step;
  view.prompt_tokens = prompt;
  view.positions = prompt - 1 + step;
  view.window_sums = &sums;
  view.previous_row = row;
  return view;
}

TEST(SnapKvPolicyTest, PoolsEarlierPromptPositionsAndHoldsTheWindow) {
  SnapKvPolicy policy(2, 3);
  std::map<int64_t, at::Tensor> sums = {
      {2, at::tensor({0.0f, 0.0f, 0.9f, 0.0f, 0.1f, 9.0f}).view({1, 6})}};
  const at::Tensor row = at::zeros({1, 6});
  // Positions 0 … 4 are earlier; the window's 5 and 6 are held. Pooled: 0, 0.9,
  // 0.9, 0.9, 0.1: what lies in the window is not pooled in.
  const StepView view = SnapView(7, 1, sums, row);
  EXPECT_EQ(Held(policy, view, 2), (Positions{5, 6}));
  EXPECT_EQ(Held(policy, view, 1), (Positions{6}));
  EXPECT_EQ(Held(policy, view, 4), (Positions{1, 2, 5, 6}));
  EXPECT_EQ(Held(policy, view, 7), (Positions{0, 1, 2, 3, 4, 5, 6}));
}

TEST(SnapKvPolicyTest, TheLastPromptQueryJoinsTheWindowAtStepTwo) {
  SnapKvPolicy policy(1, 1);
  std::map<int64_t, at::Tensor> sums = {{1, at::zeros({1, 3})}};
  EXPECT_EQ(Held(policy, SnapView(4, 1, sums, at::zeros({1, 3})), 2),
            (Positions{0, 3}));
  const at::Tensor row = at::tensor({0.1f, 0.2f, 0.6f, 0.1f}).view({1, 4});
  EXPECT_EQ(Held(policy, SnapView(4, 2, sums, row), 3), (Positions{2, 3, 4}));
  // From then on nothing changes but the generated positions.
  const at::Tensor later = at::tensor({1.0f, 0.0f, 0.0f, 0.0f, 0.0f});
  EXPECT_EQ(Held(policy, SnapView(4, 3, sums, later.view({1, 5})), 4),
            (Positions{2, 3, 4, 5}));
}

TEST(SnapKvPolicyTest, APromptWithinTheWindowIsHeldFromItsEnd) {
  SnapKvPolicy policy(32, 7);
  std::map<int64_t, at::Tensor> sums = {{32, at::ones({1, 3})}};
  EXPECT_EQ(Held(policy, SnapView(4, 1, sums, at::zeros({1, 3})), 2),
            (Positions{2, 3}));
}

}  // namespace
}  // namespace kvrecall
