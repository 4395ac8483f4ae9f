// A study that is divided among several jobs or servers.

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"
#include "tests/client/fake_server.h"
#include "tests/client/fake_servers.h"
#include "tests/client/script_database.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;

using ShardCliTest = CliTest;

TEST_F(ShardCliTest, ShardsAreDisjointKeepTheirPlacesAndAreAllOfIt) {
  const std::string data = WriteSamples(30);
  std::set<std::string> seen;
  for (int shard = 0; shard < 3; ++shard) {
    Start(MakeScript(1, 1));
    ASSERT_EQ(Run({"submit", "--task", "demo", "--data", data, "--limit", "20",
                   "--shard", absl::StrCat(shard, "/3")}),
              kExitOk)
        << err_.str();
    for (const auto& call : server_->script().submits) {
      for (const v1::Sample& sample : call.samples()) {
        EXPECT_TRUE(seen.insert(sample.sample_id()).second);
        EXPECT_EQ(sample.sample_id(), absl::StrCat("s", sample.ordinal()));
        EXPECT_LE(sample.ordinal(), 20);  // of the first 20, as --limit says
      }
    }
  }
  EXPECT_EQ(seen.size(), 20u);
}

TEST_F(ShardCliTest, AShardWithoutSamplesIsNoErrorAndMakesNoRun) {
  Start(MakeScript(1, 1));
  const std::string data = WriteSamples(1);
  int empty = 0;
  for (const char* shard : {"0/2", "1/2"}) {
    EXPECT_EQ(
        Run({"submit", "--task", "demo", "--data", data, "--shard", shard}),
        kExitOk)
        << err_.str();
    if (err_.str() == absl::StrCat("shard ", shard,
                                   " of demo has no samples; nothing is to be "
                                   "done\n"))
      ++empty;
  }
  EXPECT_EQ(empty, 1);
  EXPECT_EQ(server_->script().creates.size(), 1u);
}

TEST_F(ShardCliTest, AShardThatIsNoneIsToldBeforeAnythingIsSent) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(3),
                 "--shard", "4/4"}),
            kExitUsage);
  EXPECT_EQ(err_.str(),
            "kvrecall-client: --shard: '4/4' is no shard: expected "
            "INDEX/COUNT, the index from 0 (0/4, 1/4, 2/4 and 3/4 are the "
            "four of four), the count at most 10000\n");
  EXPECT_TRUE(server_->script().creates.empty());
}

TEST_F(ShardCliTest, ARequestIdOfTheUsersOwnIsSentAsItIs) {
  Start(MakeScript(1, 1));
  ASSERT_EQ(Run({"submit", "--task", "demo", "--data", WriteSamples(1),
                 "--request-id", "job-7-of-9"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(server_->script().creates.at(0).request_id(), "job-7-of-9");
}

// Three servers, as --server names them.
class ServersCliTest : public CliTest {
 protected:
  void StartThree(bool alike = true) {
    for (const char* name : {"a", "b", "c"}) {
      FakeScript script = MakePart(name, 2, 3);
      if (!alike && name[0] == 'c') script.run.provenance.threads = 99;
      servers_.Add(script);
    }
    environment_.server.address = servers_.addresses();
  }
  int Submit(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"submit", "--task", "demo", "--data",
                                          WriteSamples(40)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }

  FakeServers servers_;
};

TEST_F(ServersCliTest, AStudyIsDividedAndItsTableIsThatOfAll) {
  StartThree();
  ASSERT_EQ(Submit({"--json"}), kExitOk) << err_.str();
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["run_id"], "run-a,run-b,run-c");
  EXPECT_EQ(json["samples"]["submitted"], 40);
  EXPECT_EQ(json["samples"]["done"], 6);  // what the scripts have
  EXPECT_EQ(json["steps"], 18);
  int sent = 0;
  for (size_t i = 0; i < 3; ++i) {
    int samples = 0;
    for (const auto& call : servers_.at(i).script().submits)
      samples += call.samples_size();
    EXPECT_GT(samples, 0);
    sent += samples;
    EXPECT_THAT(err_.str(),
                HasSubstr(absl::StrCat(samples, " samples of demo at ",
                                       servers_.at(i).address())));
  }
  EXPECT_EQ(sent, 40);
}

TEST_F(ServersCliTest, WhatSubmitPrintsIsWhatTheOtherCommandsTake) {
  StartThree();
  ASSERT_EQ(Submit({"--detach"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), "run-a,run-b,run-c\n");
  EXPECT_THAT(err_.str(), HasSubstr("kvrecall-client watch run-a,run-b,run-c"));
  const std::string run = "run-a,run-b,run-c";
  ASSERT_EQ(Run({"watch", run, "--json"}), kExitOk) << err_.str();
  const std::string watched = out_.str();
  ASSERT_EQ(Run({"show", run, "--json"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), watched);
  EXPECT_EQ(nlohmann::json::parse(watched)["samples"]["done"], 6);
  ASSERT_EQ(Run({"export", run, "--format", "csv"}), kExitOk) << err_.str();
  EXPECT_EQ(Run({"analyze", run}), kExitOk) << err_.str();
  EXPECT_EQ(Run({"cancel", run}), kExitOk) << err_.str();
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(servers_.at(i).script().cancels, 1);
}

TEST_F(ServersCliTest, ServersThatWouldNotComputeAlikeGetNothing) {
  StartThree(/*alike=*/false);
  EXPECT_EQ(Submit({}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("differ in threads ("));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(servers_.at(i).script().submits.empty());
    EXPECT_EQ(servers_.at(i).script().cancels, 1);
  }
  // With a name of the user's own a run may have been there before.
  EXPECT_EQ(Submit({"--request-id", "mine"}), kExitUsage);
  EXPECT_EQ(servers_.at(0).script().cancels, 1);
}

TEST_F(ServersCliTest, WhatIsDoneWithOneServerSaysSo) {
  StartThree();
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"admin", "status"}, {"tasks"}}) {
    EXPECT_EQ(Run(command), kExitUsage);
    EXPECT_THAT(err_.str(), HasSubstr("one server at a time"));
  }
}

// The parts as files, merged, so that they are read by one name.
TEST_F(ServersCliTest, PullMakesOneFile) {
  std::vector<std::string> names;
  for (const char* name : {"a", "b"}) {
    FakeScript script = MakePart(name, 2, 3);
    script.exported = {DatabaseBytes(script)};
    servers_.Add(script);
  }
  environment_.server.address = servers_.addresses();
  EXPECT_EQ(Run({"pull", "run-a,run-b"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("give --out FILE"));
  const std::string file = folder_ + "/all.db";
  ASSERT_EQ(Run({"pull", "run-a,run-b", "--out", file}), kExitOk) << err_.str();
  const std::string told = err_.str();
  const std::string run = told.substr(told.find("analyze ") + 8, 26);
  ASSERT_EQ(Run({"show", run, "--db", file, "--json"}), kExitOk) << err_.str();
  EXPECT_EQ(nlohmann::json::parse(out_.str())["samples"]["done"], 4);
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    EXPECT_THAT(entry.path().string(), testing::Not(HasSubstr(".tmp")));
}

}  // namespace
}  // namespace kvrecall
