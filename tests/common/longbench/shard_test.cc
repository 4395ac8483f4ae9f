#include "common/longbench/shard.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "tests/common/longbench/question_samples.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Ids(const std::vector<Sample>& samples) {
  std::vector<std::string> ids;
  for (const Sample& sample : samples) ids.push_back(sample.id);
  return ids;
}

TEST(ShardTest, IsReadAsIndexAndCount) {
  const auto shard = ParseShard("3/4");
  ASSERT_TRUE(shard.ok()) << shard.status();
  EXPECT_EQ(shard->index, 3);
  EXPECT_EQ(shard->count, 4);
  EXPECT_EQ(ParseShard("0/1")->count, 1);
  EXPECT_EQ(ParseShard("9999/10000")->index, 9999);
}

TEST(ShardTest, WhatIsNoneIsRefusedWithTheRule) {
  for (const char* text :
       {"", "1", "4/4", "0/0", "/4", "1/", "-1/4", "+1/4", "1/4/4", "a/b",
        "1 / 4", "1.0/4", "0/10001", "99999999999999999999/4"}) {
    const absl::Status status = ParseShard(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("expected INDEX/COUNT, the index from 0"));
  }
}

TEST(ShardTest, EverySampleIsInExactlyOneShardWhateverTheirNumber) {
  const std::vector<Sample> samples = QuestionSamples(300);
  for (const int64_t count : {1, 2, 3, 7}) {
    std::multiset<std::string> seen;
    for (int64_t index = 0; index < count; ++index) {
      const auto part = TakeShard(samples, {index, count});
      ASSERT_TRUE(part.ok()) << part.status();
      EXPECT_GT(std::ssize(*part), 300 / count / 2);  // about as many in each
      int64_t last = 0;
      for (const Sample& sample : *part) {
        EXPECT_LT(last, sample.ordinal);  // still in the study's order
        last = sample.ordinal;
        seen.insert(sample.id);
      }
    }
    EXPECT_EQ(seen.size(), 300u);
    EXPECT_EQ(std::set<std::string>(seen.begin(), seen.end()).size(), 300u);
  }
}

TEST(ShardTest, WhatElseIsThereDoesNotMatter) {
  const auto of_all = TakeShard(QuestionSamples(100), {1, 3});
  const auto of_few = TakeShard(QuestionSamples(50), {1, 3});
  ASSERT_TRUE(of_all.ok() && of_few.ok());
  std::vector<std::string> few = Ids(*of_few), all = Ids(*of_all);
  all.resize(few.size());
  EXPECT_EQ(all, few);
}

TEST(ShardTest, OneMoreShardTakesAndNothingElseMoves) {
  for (int64_t index = 0; index < 4; ++index) {
    const auto four = TakeShard(QuestionSamples(200), {index, 4});
    const auto five = TakeShard(QuestionSamples(200), {index, 5});
    ASSERT_TRUE(four.ok() && five.ok());
    const std::vector<std::string> before = Ids(*four);
    const std::set<std::string> had(before.begin(), before.end());
    for (const std::string& id : Ids(*five)) EXPECT_TRUE(had.count(id)) << id;
    EXPECT_LT(five->size(), four->size());
  }
}

TEST(ShardTest, ThePlaceFollowsFromNamesNotFromTheirOrder) {
  const std::vector<std::string> names = {"gpu1:1", "gpu2:1", "gpu3:1"};
  const std::vector<std::string> turned = {"gpu3:1", "gpu1:1", "gpu2:1"};
  const std::vector<std::string> without = {"gpu1:1", "gpu3:1"};
  for (int i = 0; i < 100; ++i) {
    const std::string digest = Sha256Hex(absl::StrCat(i));
    const std::string place = names[PlaceOf(digest, names)];
    EXPECT_EQ(turned[PlaceOf(digest, turned)], place);
    if (place == "gpu2:1") continue;  // the only ones that may go elsewhere
    EXPECT_EQ(without[PlaceOf(digest, without)], place);
  }
}

// Jobs that were begun with one version are ended with another.
TEST(ShardTest, ThePlacesStayWhatTheyAre) {
  std::string places;
  const std::vector<std::string> names = {"0", "1", "2", "3"};
  for (const Sample& sample : QuestionSamples(16))
    absl::StrAppend(&places, PlaceOf(*SampleDigest(sample), names));
  EXPECT_EQ(places, "0002102323221000");
}

}  // namespace
}  // namespace kvrecall
