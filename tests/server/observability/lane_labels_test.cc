#include "server/observability/lane_labels.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> LabelsOf(const std::vector<LaneLabel>& labels) {
  std::vector<std::string> names;
  for (const LaneLabel& label : labels) names.push_back(label.label);
  return names;
}

TEST(LaneLabelsTest, LabelsAreAsGivenAndNamesAreWhole) {
  const auto lanes = ParseLaneLabels("h2o,snapkv(w=64)", "0.1,tokens:512");
  ASSERT_TRUE(lanes.ok()) << lanes.status();
  EXPECT_THAT(LabelsOf(lanes->policies), ElementsAre("h2o", "snapkv(w=64)"));
  EXPECT_EQ(lanes->policies[1].name, "snapkv(kernel=7,w=64)");
  EXPECT_EQ(lanes->policies[1].name,
            LaneName(PolicySpec{"snapkv", {{"w", 64}, {"kernel", 7}}}));
  EXPECT_THAT(LabelsOf(lanes->budgets), ElementsAre("0.1", "tokens:512"));
  EXPECT_THAT(LabelsOf(lanes->gaps),
              ElementsAre("without_gold(0.1)", "without_gold(tokens:512)",
                          "only_pred(h2o,0.1)", "only_pred(h2o,tokens:512)"));
}

TEST(LaneLabelsTest, NoneAreAllowed) {
  const auto lanes = ParseLaneLabels("", "");
  ASSERT_TRUE(lanes.ok()) << lanes.status();
  EXPECT_THAT(lanes->policies, IsEmpty());
  EXPECT_THAT(lanes->gaps, IsEmpty());
}

TEST(LaneLabelsTest, WhatIsWrongIsNamedWithItsFlag) {
  const auto message = [](const char* policies, const char* budgets) {
    const auto lanes = ParseLaneLabels(policies, budgets);
    EXPECT_EQ(lanes.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(lanes.status().message());
  };
  EXPECT_THAT(message("h20", "0.1"), HasSubstr("--metrics-policies: "));
  EXPECT_THAT(message("h20", "0.1"), HasSubstr("h2o"));
  EXPECT_THAT(message("all", "0.1"), HasSubstr("at most 6"));
  EXPECT_THAT(message("h2o", "2"), HasSubstr("--metrics-budgets: "));
  EXPECT_THAT(message("h2o", "0.1,0.2,0.3,0.4,0.5"), HasSubstr("at most 4"));
}

}  // namespace
}  // namespace kvrecall
