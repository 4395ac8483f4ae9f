#include "client/export/summary_json.h"

#include "gtest/gtest.h"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

TEST(SummaryJsonTest, ScoresByLengthAreAListWithNullForNone) {
  const RunInfo run = MakeScript(1, 1).run;
  RunSummary summary;
  summary.config = run.config;
  EXPECT_EQ(SummaryToJson(run, summary)["score_by_length"], Json::array());
  summary.score_by_length = {{"0-4k", 0.5, 3}, {"4-8k", std::nullopt, 0}};
  EXPECT_EQ(SummaryToJson(run, summary)["score_by_length"].dump(),
            R"([{"words":"0-4k","mean_score":0.5,"scored_samples":3},)"
            R"({"words":"4-8k","mean_score":null,"scored_samples":0}])");
}

}  // namespace
}  // namespace kvrecall
