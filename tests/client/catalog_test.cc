// The catalog of policies as text and as JSON.

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/export/catalog_json.h"
#include "client/render/catalog_text.h"
#include "client/render/text_table.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;

TEST(CatalogTextTest, NamesEveryPolicyParameterSourceAndTrigger) {
  const std::string text = RenderCatalog();
  for (const PolicyEntry& policy : AllPolicies()) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(policy.name) + " "));
    EXPECT_THAT(text, HasSubstr(std::string(policy.summary) + "\n"));
    EXPECT_THAT(text, HasSubstr("[" + std::string(policy.source) + "]"));
    for (const PolicyParameter& parameter : policy.parameters) {
      EXPECT_THAT(text, HasSubstr(" " + std::string(parameter.name) + "=" +
                                  NumberText(parameter.fallback) + " "));
    }
  }
  for (const TriggerEntry& trigger : AllTriggers()) {
    EXPECT_THAT(text, HasSubstr("\n@" + std::string(trigger.name) + "("));
  }
}

TEST(CatalogTextTest, IsAlignedAndFitsAHundredColumns) {
  std::istringstream lines(RenderCatalog());
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(DisplayWidth(line), 100) << line;
    EXPECT_FALSE(line.ends_with(' ')) << line;
  }
  EXPECT_THAT(
      RenderCatalog(),
      HasSubstr(
          "\nsnapkv      prompt positions by the pooled attention of the last "
          "prompt queries; all generated ones\n"
          "              kernel=7  1 to 1023, odd; positions pooled over\n"
          "              w=32      1 to 1048576, whole; last prompt queries\n"
          "            [arXiv 2404.14469]\n"
          "tova        drops the least attended of the previous query; it is "
          "gone\n"
          "            [arXiv 2401.06104]  takes a trigger\n"));
}

// Two do not hold the step's own position; the heading must not say they do.
TEST(CatalogTextTest, TheHeadingIsTrueOfEveryPolicy) {
  EXPECT_THAT(RenderCatalog(),
              testing::StartsWith(
                  "policy      what it holds; all but oracle and h2o(self=0) "
                  "hold the step's own position too\n"));
}

TEST(CatalogTextTest, TheExampleIsRight) {
  const std::string text = RenderCatalog();
  const std::string begin = "Example: --policies \"";
  const size_t at = text.find(begin) + begin.size();
  const auto specs = ParsePolicyList(text.substr(at, text.find('"', at) - at));
  ASSERT_TRUE(specs.ok()) << specs.status();
  for (const PolicySpec& spec : *specs) {
    EXPECT_TRUE(CompletePolicySpec(spec).ok()) << spec.ToString();
  }
}

TEST(CatalogJsonTest, HasEveryPolicyWithItsParametersAndTriggers) {
  const auto json = CatalogToJson();
  ASSERT_EQ(json["policies"].size(), AllPolicies().size());
  EXPECT_EQ(json["policies"][5].dump(),
            R"({"name":"snapkv","summary":"prompt positions by the pooled )"
            R"(attention of the last prompt queries; all generated ones",)"
            R"("source":"arXiv 2404.14469","irreversible":false,)"
            R"("per_layer":false,"parameters":[{"name":"kernel","default":7,)"
            R"("least":1,"most":1023,"rule":"odd","summary":"positions )"
            R"(pooled over"},{"name":"w","default":32,"least":1,)"
            R"("most":1048576,"rule":"whole","summary":"last prompt )"
            R"(queries"}]})");
  EXPECT_EQ(json["policies"][7]["per_layer"], true);
  ASSERT_EQ(json["triggers"].size(), 3u);
  EXPECT_EQ(json["triggers"][2]["value"]["most"], 1);
  EXPECT_FALSE(json["triggers"][2]["value"].contains("default"));
}

}  // namespace
}  // namespace kvrecall
