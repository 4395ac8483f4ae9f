// A study that is divided among several jobs or servers.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"
#include "tests/client/fake_server.h"

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

}  // namespace
}  // namespace kvrecall
