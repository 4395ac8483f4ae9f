#include "server/access/access_scope.h"

#include "gtest/gtest.h"

namespace kvrecall {
namespace {

TEST(AccessScopeTest, NamesGoBothWays) {
  for (const AccessScope scope :
       {AccessScope::kRead, AccessScope::kSubmit, AccessScope::kAdmin})
    EXPECT_EQ(AccessScopeOf(AccessScopeName(scope)), scope);
  EXPECT_FALSE(AccessScopeOf("write").has_value());
}

TEST(AccessScopeTest, WhatIsNotListedNeedsTheMost) {
  EXPECT_EQ(ScopeNeededFor("GetRun"), AccessScope::kRead);
  EXPECT_EQ(ScopeNeededFor("CancelRun"), AccessScope::kSubmit);
  EXPECT_EQ(ScopeNeededFor("DeleteRun"), AccessScope::kAdmin);
  EXPECT_EQ(ScopeNeededFor("SomethingNew"), AccessScope::kAdmin);
}

}  // namespace
}  // namespace kvrecall
