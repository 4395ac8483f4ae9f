// `merge`, as a user types it.

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"
#include "tests/common/records_db/study_database.h"

namespace kvrecall {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class MergeCliTest : public CliTest {
 protected:
  std::string Part(const std::string& name,
                   const std::vector<int64_t>& ordinals) {
    const std::string path = folder_ + "/" + name + ".db";
    WriteStudy(path, {MakeStudyRun(name, ordinals)});
    return path;
  }

  // The name that was printed.
  std::string Name() const {
    return out_.str().substr(0, out_.str().find('\n'));
  }
};

TEST_F(MergeCliTest, WhatItMakesIsReadByItsName) {
  const std::string a = Part("a", {1, 3}), b = Part("b", {2});
  const std::string all = folder_ + "/all.db";
  ASSERT_EQ(Run({"merge", a, b, "-o", all}), kExitOk) << err_.str();
  const std::string run = Name();
  EXPECT_EQ(run.size(), 26u);
  EXPECT_THAT(err_.str(),
              AllOf(HasSubstr("reads " + a), HasSubstr("writes " + all),
                    HasSubstr("run " + run +
                              ": task demo, 3 samples from 2 files, 3 done\n"),
                    HasSubstr("read it with: kvrecall-client analyze " + run +
                              " --db " + all)));
  ASSERT_EQ(Run({"show", run, "--db", all, "--json"}), kExitOk) << err_.str();
  EXPECT_EQ(nlohmann::json::parse(out_.str())["samples"]["done"], 3);
  EXPECT_EQ(Run({"analyze", run, "--db", all}), kExitOk) << err_.str();
  EXPECT_EQ(Run({"export", run, "--db", all, "--format", "csv"}), kExitOk)
      << err_.str();
}

TEST_F(MergeCliTest, WhatIsNotTheWholeStudyIsWrittenAndTold) {
  const std::string all = folder_ + "/all.db";
  EXPECT_EQ(Run({"merge", Part("a", {1, 4}), "-o", all}), kExitRunFailed);
  EXPECT_THAT(err_.str(),
              AllOf(HasSubstr("2 samples of the study in none of the files"),
                    HasSubstr("is not the whole study")));
  EXPECT_EQ(Run({"show", Name(), "--db", all}), kExitOk) << err_.str();
}

TEST_F(MergeCliTest, WhatIsThereIsOverwrittenWithForce) {
  const std::string a = Part("a", {1}), all = folder_ + "/all.db";
  ASSERT_EQ(Run({"merge", a, "-o", all}), kExitOk);
  EXPECT_EQ(Run({"merge", a, "-o", all}), kExitUsage);
  EXPECT_EQ(err_.str(), "kvrecall-client: " + all +
                            ": exists already; --force overwrites it\n");
  EXPECT_EQ(Run({"merge", a, "-o", all, "--force"}), kExitOk) << err_.str();
}

TEST_F(MergeCliTest, RunsThatDifferAreRefusedInOneLine) {
  StudyRun other = MakeStudyRun("b", {1, 2});
  other.info.provenance.model_digest = "def";
  other.info.provenance.model = "big";
  const std::string b = folder_ + "/b.db", a = Part("a", {1});
  WriteStudy(b, {other});
  EXPECT_EQ(Run({"merge", a, b, "-o", folder_ + "/all.db"}), kExitUsage);
  EXPECT_THAT(err_.str(),
              HasSubstr("differ in model (nano on a and big), model_digest "
                        "(abc and def)"));
  EXPECT_EQ(Run({"merge", a, b, "-o", folder_ + "/all.db", "--run", "run-b"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Name(), "run-b");
}

TEST_F(MergeCliTest, HelpSaysWhatItIsFor) {
  EXPECT_EQ(Run({"merge", "--help"}), 0);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("Join database files of one study"),
                                HasSubstr("merge shard-*.db -o study.db")));
  EXPECT_EQ(Run({"merge"}), kExitUsage);
}

}  // namespace
}  // namespace kvrecall
