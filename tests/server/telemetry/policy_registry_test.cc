#include "server/telemetry/policy_registry.h"

#include <gtest/gtest.h>

#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

TEST(PolicyRegistryTest, MakesEveryPolicyOfTheCatalog) {
  for (const PolicyEntry& entry : AllPolicies()) {
    PolicySpec spec;
    spec.name = std::string(entry.name);
    const auto policy = MakePolicy(spec, {});
    ASSERT_TRUE(policy.ok()) << policy.status();
    EXPECT_EQ((*policy)->irreversible(), entry.irreversible) << entry.name;
    EXPECT_EQ((*policy)->is_gold(), entry.name == "oracle");
  }
}

}  // namespace
}  // namespace kvrecall
