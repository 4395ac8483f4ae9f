#include "client/forced_text.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;

class ForcedTextTest : public testing::Test {
 protected:
  ForcedTextTest() : path_(testing::TempDir() + "kvrecall_forced_texts.jsonl") {
    for (const char* id : {"a", "b", "c"}) {
      samples_.emplace_back().id = id;
    }
  }

  absl::Status Force(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return ForceTexts(path_, &samples_);
  }

  const std::string path_;
  std::vector<Sample> samples_;
};

TEST_F(ForcedTextTest, EachSampleGetsTheTextOfItsId) {
  const absl::Status status = Force(
      "{\"_id\":\"c\",\"text\":\"C\"}\n{\"_id\":\"z\",\"text\":\"Z\"}\n"
      "{\"_id\":\"a\",\"text\":\"A\"}\n{\"_id\":\"b\",\"text\":\"\"}\n");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(samples_[0].forced_text, "A");
  EXPECT_EQ(samples_[1].forced_text, "");
  EXPECT_EQ(samples_[2].forced_text, "C");
}

TEST_F(ForcedTextTest, ASampleWithoutATextIsNamed) {
  absl::Status status =
      Force("{\"_id\":\"c\",\"text\":\"C\"}\n{\"_id\":\"a\",\"text\":\"A\"}\n");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(), path_ + ": no text for sample 'b'");
  status = Force("{\"_id\":\"c\",\"text\":\"C\"}\n");
  EXPECT_EQ(status.message(),
            path_ + ": no text for sample 'a', nor for 1 more");
}

TEST_F(ForcedTextTest, AFileThatCannotBeReadIsAnError) {
  EXPECT_THAT(std::string(Force("{\"_id\":\"a\"}").message()),
              HasSubstr(":1: field 'text' is missing"));
  EXPECT_TRUE(absl::IsNotFound(ForceTexts(path_ + ".none", &samples_)));
}

}  // namespace
}  // namespace kvrecall
