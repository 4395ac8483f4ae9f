#include "common/record/scope.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ScopeTest, NamesRoundTrip) {
  for (Scope scope : {Scope::kGlobal, Scope::kLayer, Scope::kHead})
    EXPECT_EQ(ParseScope(ScopeName(scope)).value(), scope);
  EXPECT_THAT(ParseScopes("head, global").value(),
              ElementsAre(Scope::kHead, Scope::kGlobal));
}

TEST(ScopeTest, RefusesWhatIsNoListOfScopes) {
  EXPECT_THAT(std::string(ParseScope("heads").status().message()),
              HasSubstr("'heads'; the scopes are global, layer and head"));
  EXPECT_THAT(std::string(ParseScopes("head,head").status().message()),
              HasSubstr("head is given twice"));
  EXPECT_FALSE(ParseScopes("").ok());
  EXPECT_FALSE(ParseScopes("global,").ok());
}

}  // namespace
}  // namespace kvrecall
