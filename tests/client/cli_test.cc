#include "client/cli.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "proto/convert/time_convert.h"
#include "tests/client/cli_testing.h"
#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

TEST_F(CliTest, ATimeLimitIsSentWhereOneIsGiven) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  ASSERT_EQ(Run({"submit", "--task", "demo", "--data", data}), kExitOk);
  EXPECT_FALSE(server_->script().creates.back().has_time_limit());
  for (const auto& [text, nanoseconds] :
       {std::pair{"90s", int64_t{90'000'000'000}},
        {"1h30m", int64_t{5'400'000'000'000}},
        {"250ms", int64_t{250'000'000}}}) {
    ASSERT_EQ(
        Run({"submit", "--task", "demo", "--data", data, "--time-limit", text}),
        kExitOk)
        << err_.str();
    EXPECT_EQ(FromProto(server_->script().creates.back().time_limit()),
              absl::Nanoseconds(nanoseconds));
  }
}

TEST_F(CliTest, ATimeLimitThatIsNoneIsToldBeforeAnythingIsSent) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  for (const std::string text : {"soon", "90", "0s", "-1h", "inf", "2 days"}) {
    EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data,
                   "--time-limit=" + text}),
              kExitUsage);
    EXPECT_EQ(err_.str(),
              "kvrecall-client: --time-limit " + text +
                  ": expected a time above 0 such as 90s, 30m or 1h30m\n");
  }
  EXPECT_TRUE(server_->script().creates.empty());
}

TEST_F(CliTest, SubmitSendsTheSamplesAndPrintsTheTable) {
  Start(MakeScript(3, 4));
  const std::string data = WriteSamples(5);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--limit", "3",
                 "--budgets", "0.1,tokens:4", "--policies",
                 "h2o,random(seed=7)", "--scopes", "layer", "--max-new-tokens",
                 "7", "--ignore-eos", "--chat-template", "none"}),
            kExitOk)
      << err_.str();
  const FakeScript asked = server_->script();
  ASSERT_EQ(asked.creates.size(), 1u);
  const v1::RunConfig& config = asked.creates[0].config();
  EXPECT_EQ(asked.creates[0].request_id().size(), 36u);
  EXPECT_TRUE(asked.creates[0].reuse_records());  // without --fresh
  EXPECT_EQ(config.task(), "demo");
  EXPECT_EQ(config.policies(1), "random(seed=7)");
  EXPECT_EQ(config.scopes_size(), 1);
  EXPECT_EQ(config.budgets(1).tokens(), 4);
  EXPECT_EQ(config.max_new_tokens(), 7);
  EXPECT_TRUE(config.ignore_eos());
  EXPECT_EQ(config.chat_template(), "none");
  ASSERT_EQ(asked.submits.size(), 1u);
  EXPECT_EQ(asked.submits[0].samples_size(), 3);
  EXPECT_TRUE(asked.submits[0].complete());
  EXPECT_THAT(out_.str(), HasSubstr("Run run-1: succeeded, task demo"));
  EXPECT_THAT(out_.str(), HasSubstr("h2o     global"));
  EXPECT_THAT(out_.str(), HasSubstr("mean score"));
  EXPECT_THAT(err_.str(), HasSubstr("run run-1: 3 samples of demo\n"));
  EXPECT_THAT(err_.str(), HasSubstr("/3 samples"));
}

TEST_F(CliTest, FreshAsksForNoRecordsOfEarlierRuns) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(1), "--fresh"}),
      kExitOk);
  EXPECT_FALSE(server_->script().creates.at(0).reuse_records());
}

TEST_F(CliTest, SubmitUsesTheDefaultsAndTheServersLimits) {
  FakeScript script = MakeScript(5, 1);
  script.max_samples_per_call = 2;
  Start(script);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(5)}),
            kExitOk);
  const FakeScript asked = server_->script();
  EXPECT_EQ(asked.submits.size(), 3u);
  const v1::RunConfig& config = asked.creates[0].config();
  EXPECT_EQ(config.policies_size(), 3);
  EXPECT_EQ(config.scopes_size(), 2);
  ASSERT_EQ(config.budgets_size(), 3);
  EXPECT_EQ(config.budgets(0).current_ratio(), 0.1);
  EXPECT_EQ(config.max_new_tokens(), 0);
  EXPECT_EQ(config.chat_template(), "auto");
}

TEST_F(CliTest, SubmitSendsEveryPolicyScopeAndTheGapsMeantByDefault) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--policies",
                 "all", "--scopes", "global,layer,head", "--budgets", "0.1",
                 "--gap", "--force", "gold"}),
            kExitOk)
      << err_.str();
  const v1::RunConfig config = server_->script().creates.at(0).config();
  EXPECT_EQ(config.policies_size(), 12);
  EXPECT_THAT(
      config.scopes(),
      testing::ElementsAre(v1::SCOPE_GLOBAL, v1::SCOPE_LAYER, v1::SCOPE_HEAD));
  EXPECT_THAT(config.gaps(),
              testing::ElementsAre("without_gold(0.1)", "only_pred(h2o,0.1)"));
  EXPECT_EQ(config.force(), v1::FORCE_GOLD);
}

TEST_F(CliTest, SubmitTakesGapLanesAndPoliciesWithTriggers) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(1), "--policies",
           "tova@entropy(2),snapkv(w=8,kernel=3)", "--budgets", "0.1",
           "--gap=without_gold(0.1,layer),"
           "only_pred(snapkv(w=8,kernel=3),0.1)"}),
      kExitOk)
      << err_.str();
  const v1::RunConfig config = server_->script().creates.at(0).config();
  EXPECT_THAT(config.policies(),
              testing::ElementsAre("tova@entropy(2)", "snapkv(kernel=3,w=8)"));
  EXPECT_THAT(config.gaps(),
              testing::ElementsAre("without_gold(0.1,layer)",
                                   "only_pred(snapkv(kernel=3,w=8),0.1)"));
  EXPECT_EQ(config.force(), v1::FORCE_NONE);
}

TEST_F(CliTest, SubmitSendsTheTextsToForce) {
  Start(MakeScript(1, 1));
  const std::string texts = folder_ + "/texts.jsonl";
  std::ofstream(texts) << R"({"_id":"s1","text":"One."})"
                       << "\n";
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(2),
                 "--limit", "1", "--force", texts}),
            kExitOk)
      << err_.str();
  const FakeScript asked = server_->script();
  EXPECT_EQ(asked.creates.at(0).config().force(), v1::FORCE_TEXT);
  EXPECT_EQ(asked.submits.at(0).samples(0).forced_text(), "One.");
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(2),
                 "--force", texts}),
            kExitUsage);
  EXPECT_EQ(err_.str(),
            "kvrecall-client: " + texts + ": no text for sample 's2'\n");
  EXPECT_EQ(server_->script().creates.size(), 1u);
}

TEST_F(CliTest, SubmitSaysWhichScopeAPolicyIsMissingIn) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--policies",
                 "all", "--scopes", "global,layer"}),
            kExitOk);
  EXPECT_THAT(err_.str(),
              HasSubstr("pyramidkv is not defined in scope global and has no "
                        "rows there; the other scopes have it\n"));
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--policies",
                 "all", "--scopes", "layer,head"}),
            kExitOk);
  EXPECT_THAT(err_.str(), Not(HasSubstr("not defined")));
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--policies",
                 "all", "--scopes", "global"}),
            kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("not defined in scope global; add layer"));
}

TEST_F(CliTest, AGapLaneHasTheSpellingOfItsPolicy) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(1), "--policies",
           "h2o", "--budgets", "0.1", "--gap", "only_pred(h2o(self=1),0.1)"}),
      kExitOk)
      << err_.str();
  EXPECT_THAT(server_->script().creates.at(0).config().gaps(),
              testing::ElementsAre("only_pred(h2o,0.1)"));
}

// The API's words that are no use here must not be taken for files.
TEST_F(CliTest, ForceIsGoldOrAFile) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  const auto complaint = [&](const std::string& force) {
    EXPECT_EQ(
        Run({"submit", "--task", "demo", "--data", data, "--force", force}),
        kExitUsage);
    return err_.str();
  };
  EXPECT_EQ(complaint("none"),
            "kvrecall-client: --force none: leave --force out to take the "
            "model's own text\n");
  EXPECT_THAT(complaint("text"),
              HasSubstr("--force text: give the name of the file that has the "
                        "texts"));
  EXPECT_TRUE(server_->script().creates.empty());
}

// A typing error is answered at once, whether or not there is a server.
TEST_F(CliTest, SubmitKnowsAWrongPolicyWithoutTheServer) {
  Start(MakeScript(1, 1));
  server_.reset();
  const std::string data = WriteSamples(1);
  const auto complaint = [&](const std::string& option,
                             const std::string& value) {
    EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data, "--scopes",
                   "global", option, value}),
              kExitUsage);
    return err_.str();
  };
  EXPECT_THAT(complaint("--policies", "h20"),
              HasSubstr("unknown policy 'h20'; did you mean h2o?"));
  EXPECT_THAT(complaint("--policies", "snapkv(kernel=2)"),
              HasSubstr("kernel must be an odd number from 1 to 1023"));
  EXPECT_THAT(complaint("--policies", "pyramidkv"),
              HasSubstr("not defined in scope global; add layer or head"));
  EXPECT_THAT(complaint("--gap", "without_gold(0.5)"),
              HasSubstr("does not simulate budget 0.5"));
  EXPECT_THAT(complaint("--gap", "gold"), HasSubstr("parentheses are missing"));
  EXPECT_THAT(complaint("--gap", "only_pred(h20,0.1)"),
              HasSubstr("unknown policy 'h20'; did you mean h2o?"));
}

TEST_F(CliTest, PoliciesNeedNoServer) {
  Start(MakeScript(1, 1));
  server_.reset();
  EXPECT_EQ(Run({"policies"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("\nh2o_evict "));
  EXPECT_THAT(out_.str(), HasSubstr("\n@entropy("));
  EXPECT_EQ(Run({"policies", "--json"}), kExitOk);
  EXPECT_EQ(json::parse(out_.str())["policies"].size(), 12u);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliTest, ShowHasTheGapLanesInTableAndJson) {
  FakeScript script = MakeScript(2, 3);
  AddGaps(&script);
  Start(script);
  EXPECT_EQ(Run({"show", "run-1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("gaps                 without_gold(0.1), "
                                    "only_pred(h2o,tokens:4,layer)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("\nwithout_gold(0.1) "));
  EXPECT_EQ(Run({"show", "run-1", "--json"}), kExitOk);
  const json result = json::parse(out_.str());
  ASSERT_EQ(result["gaps"].size(), 2u);
  EXPECT_EQ(result["gaps"][0]["lane"], "without_gold(0.1)");
  EXPECT_EQ(result["gaps"][0]["n"], 6);
  EXPECT_EQ(result["gaps"][0]["kl"], 1.0);
  EXPECT_EQ(result["gaps"][0]["mean_score"], 0.25);
  EXPECT_EQ(result["gaps"][1]["top1_agreement"], 0.0);
  EXPECT_EQ(result["rows"][0]["drift"], 0.25);
  EXPECT_TRUE(result["rows"][0]["fetched_back"].is_null());
}

TEST_F(CliTest, SubmitJsonIsOneObjectWithTheRows) {
  Start(MakeScript(2, 5));
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(2), "--json"}),
      kExitOk);
  const json result = json::parse(out_.str());
  EXPECT_EQ(result["run_id"], "run-1");
  EXPECT_EQ(result["state"], "succeeded");
  EXPECT_EQ(result["steps"], 10);
  EXPECT_EQ(result["last_sequence"], 15);
  EXPECT_EQ(result["provenance"]["model"], "nano");
  ASSERT_EQ(result["rows"].size(), 8u);
  EXPECT_EQ(result["rows"][0]["policy"], "h2o");
  EXPECT_EQ(result["rows"][0]["budget"], 0.1);
  EXPECT_EQ(result["rows"][0]["n"], 10);
  EXPECT_TRUE(result["rows"][4]["pearson"].is_null());  // the oracle's
  EXPECT_EQ(result["bins"].size(), 7u);
  EXPECT_TRUE(result["bins"][6]["high"].is_null());
}

TEST_F(CliTest, SubmitSurvivesABrokenStream) {
  FakeScript script = MakeScript(2, 5);
  script.breaks = {4};
  Start(script);
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(2), "--json"}),
      kExitOk);
  EXPECT_EQ(json::parse(out_.str())["steps"], 10);
  EXPECT_THAT(err_.str(), HasSubstr("lost the connection"));
}

TEST_F(CliTest, SubmitOfABadLineSubmitsNothing) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  std::ofstream(data, std::ios::app) << "{\"input\":1}\n";
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", data}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr(data + ":2"));
  EXPECT_TRUE(server_->script().creates.empty());
}

TEST_F(CliTest, SubmitDetachPrintsTheNameAndHowToComeBack) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(
      Run({"submit", "--task", "demo", "--data", WriteSamples(1), "--detach"}),
      kExitOk);
  EXPECT_EQ(out_.str(), "run-1\n");
  EXPECT_THAT(err_.str(), HasSubstr("kvrecall-client watch run-1\n"));
  EXPECT_TRUE(server_->script().watched_after.empty());
}

TEST_F(CliTest, AServerThatIsNotTheUsualOneIsNamedInTheWayBack) {
  Start(MakeScript(1, 1));
  environment_.server = {};
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(1),
                 "--detach", "--server", server_->address()}),
            kExitOk);
  EXPECT_THAT(err_.str(),
              HasSubstr("watch run-1 --server " + server_->address()));
}

TEST_F(CliTest, ARefusedSampleIsNamedAndFailsTheCommand) {
  FakeScript script = MakeScript(1, 1);
  script.refused_sample = "s2";
  Start(script);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(2)}),
            kExitRunFailed);
  EXPECT_THAT(err_.str(), HasSubstr("refused: sample s2: context: too long"));
}

TEST_F(CliTest, AFailedSampleIsNamedAndFailsTheCommand) {
  FakeScript script = MakeScript(2, 1);
  script.events[5].body = SampleFailure{"PROMPT_TOO_LONG", "9 tokens"};
  script.events[6].body = RunEnd{.state = RunState::kPartiallyFailed,
                                 .samples_done = 1,
                                 .samples_failed = 1};
  Start(script);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(2)}),
            kExitRunFailed);
  EXPECT_THAT(out_.str(), HasSubstr("partially_failed"));
  EXPECT_THAT(err_.str(),
              HasSubstr("sample s2 failed: PROMPT_TOO_LONG: 9 tokens"));
}

TEST_F(CliTest, AnErrorOfTheServerIsOneLine) {
  FakeScript script = MakeScript(1, 1);
  script.create_status = {grpc::StatusCode::INVALID_ARGUMENT,
                          "config.policies[0]: no policy\n'nope'"};
  Start(script);
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(1)}),
            kExitUsage);
  EXPECT_EQ(err_.str(),
            "kvrecall-client: config.policies[0]: no policy 'nope'\n");
}

TEST_F(CliTest, WithoutAServerTheErrorSaysWhatToDo) {
  Start(MakeScript(1, 1));
  server_.reset();
  EXPECT_EQ(Run({"runs"}), kExitError);
  EXPECT_EQ(err_.str(), "kvrecall-client: no server at " +
                            environment_.server.address +
                            "; start one with kvrecall-server or set "
                            "--server\n");
}

TEST_F(CliTest, UsageErrorsAreOneLineAndTellThemselvesApart) {
  const std::initializer_list<std::vector<std::string>> bad = {
      {},
      {"nope"},
      {"submit"},
      {"submit", "--task", "demo", "--limit", "0"},
      {"submit", "--task", "demo", "--budgets", "2"},
      {"submit", "--task", "demo", "--policies", "h2o,"},
      {"submit", "--task", "demo", "--scopes", "tower"},
      {"submit", "--task", "demo"},  // no data file
      {"show"},
      {"export", "run-1", "--format", "xml"}};
  for (const auto& arguments : bad) {
    EXPECT_EQ(Run(arguments), kExitUsage) << testing::PrintToString(arguments);
    const std::string text = err_.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  }
}

TEST_F(CliTest, CtrlCDetachesAndSaysHowToComeBack) {
  FakeScript script = MakeScript(1, 2);
  script.events.pop_back();
  script.never_ends = true;
  Start(script);
  std::thread user([this] {
    while (!server_->all_sent()) std::this_thread::yield();
    EXPECT_TRUE(interrupt_.Press());
    EXPECT_FALSE(interrupt_.Press());  // the second would end the program
  });
  EXPECT_EQ(Run({"watch", "run-1"}), kExitInterrupted);
  user.join();
  EXPECT_THAT(err_.str(), HasSubstr("kvrecall-client watch run-1\n"));
  EXPECT_EQ(server_->script().cancels, 0);
  EXPECT_FALSE(interrupt_.Press());  // nothing is watched any more
}

TEST_F(CliTest, WatchPrintsTheTableOfAFinishedRun) {
  Start(MakeScript(2, 3));
  EXPECT_EQ(Run({"watch", "run-1"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("samples     2 done"));
}

TEST_F(CliTest, ShowPrintsTheRunAndItsTableFromAllPages) {
  FakeScript script = MakeScript(3, 4);
  script.page_limit = 5;
  Start(script);
  EXPECT_EQ(Run({"show", "run-1"}), kExitOk) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("model_digest         abc"));
  EXPECT_THAT(out_.str(), HasSubstr("samples     3 done"));
  EXPECT_EQ(Run({"show", "run-1", "--json"}), kExitOk);
  EXPECT_EQ(json::parse(out_.str())["steps"], 12);
}

TEST_F(CliTest, ShowOfARunThatIsNotThereIsAUsageError) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"show", "none"}), kExitUsage);
  EXPECT_EQ(err_.str(), "kvrecall-client: run_id: no run 'none'\n");
}

TEST_F(CliTest, RunsReadsAllPages) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"runs"}), kExitOk);
  const std::string text = out_.str();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3) << text;
  EXPECT_THAT(text, HasSubstr("run-1  succeeded  demo"));
}

TEST_F(CliTest, CancelSaysWhatTheRunIsNow) {
  Start(MakeScript(2, 1));
  EXPECT_EQ(Run({"cancel", "run-1"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("run run-1: cancelled"));
  EXPECT_EQ(server_->script().cancels, 1);
}

TEST_F(CliTest, TasksSayWhereTheirDataIs) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  EXPECT_EQ(Run({"tasks", "--data", folder_}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr(data));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliTest, TasksWithoutAServerAreTheBuiltInOnes) {
  Start(MakeScript(1, 1));
  server_.reset();
  EXPECT_EQ(Run({"tasks"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("musique_cot"));
  EXPECT_THAT(out_.str(), HasSubstr("not found"));
}

TEST_F(CliTest, ExportWritesEveryRecordAndLeavesNoPartBehind) {
  FakeScript script = MakeScript(3, 4);
  script.page_limit = 4;
  Start(script);
  const std::string path = folder_ + "/run.jsonl";
  EXPECT_EQ(Run({"export", "run-1", "--format", "jsonl", "--out", path}),
            kExitOk)
      << err_.str();
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1 + 3 + 12);
  EXPECT_FALSE(fs::exists(path + ".part"));

  EXPECT_EQ(Run({"export", "run-1"}), kExitOk);
  EXPECT_EQ(out_.str(), text);
}

TEST_F(CliTest, ExportOverwritesOnlyWhenToldTo) {
  Start(MakeScript(1, 1));
  const std::string path = folder_ + "/run.jsonl";
  std::ofstream(path) << "mine";
  EXPECT_EQ(Run({"export", "run-1", "--out", path}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--force"));
  EXPECT_EQ(fs::file_size(path), 4u);
  EXPECT_EQ(Run({"export", "run-1", "--out", path, "--force"}), kExitOk);
  EXPECT_GT(fs::file_size(path), 4u);
}

TEST_F(CliTest, AnExportThatFailsLeavesNothing) {
  FakeScript script = MakeScript(1, 2);
  script.events.pop_back();  // fewer events than the run says
  Start(script);
  const std::string path = folder_ + "/run.jsonl";
  EXPECT_EQ(Run({"export", "run-1", "--out", path}), kExitError);
  EXPECT_FALSE(fs::exists(path));
  EXPECT_FALSE(fs::exists(path + ".part"));
  EXPECT_EQ(Run({"export", "run-1", "--out", folder_ + "/no/run.jsonl"}),
            kExitUsage);
}

TEST_F(CliTest, HelpGoesToStandardOutput) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("submit"));
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(Run({"submit", "--help"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--budgets"));
  EXPECT_THAT(out_.str(), Not(HasSubstr("kvrecall-client:")));
}

}  // namespace
}  // namespace kvrecall
