#include "common/record/json.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(RecordJsonTest, ConfigRoundTrips) {
  RunConfig config;
  config.task = "musique";
  config.policies = *ParsePolicySpecs("h2o,random(seed=3)");
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = *ParseBudgets("0.1,tokens:64");
  config.max_new_tokens = 32;
  config.max_prompt_tokens = 31500;
  config.chat_template = "auto";
  auto back = ConfigFromJson(ConfigToJson(config).dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, config);
}

TEST(RecordJsonTest, ProvenanceRoundTrips) {
  Provenance provenance;
  provenance.model = "nano";
  provenance.threads = 2;
  provenance.prefill_chunk = 256;
  provenance.kernels = "avx2";
  provenance.policies = {"h2o(self=1)", "oracle"};
  auto back = ProvenanceFromJson(ProvenanceToJson(provenance).dump());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, provenance);
}

TEST(RecordJsonTest, MissingFieldIsNamed) {
  auto config = ConfigFromJson("{}");
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.status().message().find("task"), std::string::npos);
}

TEST(RecordJsonTest, LanesGoByPolicyThenScopeThenBudget) {
  RunConfig config;
  config.policies = *ParsePolicySpecs("h2o,random");
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = *ParseBudgets("0.1,0.2,0.3");
  const auto lanes = Lanes(config);
  ASSERT_EQ(lanes.size(), 12u);
  EXPECT_EQ(lanes[4].policy, 0);
  EXPECT_EQ(lanes[4].scope, 1);
  EXPECT_EQ(lanes[4].budget, 1);
  EXPECT_EQ(lanes[6].policy, 1);
}

}  // namespace
}  // namespace kvrecall
