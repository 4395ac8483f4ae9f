#include "server/engine/tokenizer/incremental_decoder.h"

#include <random>

#include <gtest/gtest.h>

#include "server/engine/tokenizer/utf8.h"
#include "tests/server/engine/tokenizer/golden_file.h"

namespace kvrecall {
namespace {

class IncrementalDecoderTest : public testing::Test {
 protected:
  void SetUp() override {
    auto tokenizer = Tokenizer::Parse(ByteTokenizerJson().dump(), "test");
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = std::move(tokenizer).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(IncrementalDecoderTest, ACharacterAppearsWithItsLastByte) {
  IncrementalDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(decoder.Push(0xE2), "");
  EXPECT_EQ(decoder.Push(0x82), "");
  EXPECT_EQ(decoder.Push(0xAC), "\u20AC");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST_F(IncrementalDecoderTest, FinishFlushesWhatIsIncomplete) {
  IncrementalDecoder decoder(*tokenizer_, false);
  EXPECT_EQ(decoder.Push('a'), "a");
  EXPECT_EQ(decoder.Push(0xF0), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
  EXPECT_EQ(decoder.Finish(), "");
}

TEST_F(IncrementalDecoderTest, PiecesOfRandomBytesJoinToDecode) {
  std::mt19937 random(3);
  // Bytes that begin or continue characters, so that many nearly fit.
  const std::vector<int64_t> bytes = {0x61, 0x80, 0xBF, 0xC3, 0xE0, 0xE2,
                                      0xED, 0xF0, 0xF4, 0x9F, 0xA0, 0xFF};
  for (int round = 0; round < 2000; ++round) {
    std::vector<int64_t> ids;
    for (size_t n = random() % 12; n > 0; --n)
      ids.push_back(bytes[random() % bytes.size()]);
    IncrementalDecoder decoder(*tokenizer_, false);
    std::string text;
    for (const int64_t id : ids) {
      const std::string piece = decoder.Push(id);
      ASSERT_TRUE(IsValidUtf8(piece));
      text += piece;
    }
    ASSERT_EQ(text + decoder.Finish(), tokenizer_->Decode(ids, false));
  }
}

}  // namespace
}  // namespace kvrecall
