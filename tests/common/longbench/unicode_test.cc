#include "common/longbench/unicode.h"

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

// What Python does with every code point that it knows; made by
// tests/golden/qa_f1_golden.py.
class UnicodeTableTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file("tests/golden/unicode_text.json");
    ASSERT_TRUE(file) << "run from the repository's root";
    const auto json = nlohmann::json::parse(file);
    for (const auto& table : json.at("tables")) {
      tables_[table.at("name")] = table.at("rows");
    }
    assigned_ = Expand("assigned");
  }

  // Whether each code point is in the table of ranges.
  std::vector<bool> Expand(const std::string& name) const {
    std::vector<bool> holds(0x110000);
    for (const auto& range : tables_.at(name)) {
      for (uint32_t c = range[0]; c <= range[1]; ++c) holds[c] = true;
    }
    return holds;
  }

  template <typename Predicate>
  void ExpectSame(const std::string& name, Predicate predicate) const {
    const std::vector<bool> want = Expand(name);
    for (char32_t c = 0; c < want.size(); ++c) {
      if (!assigned_[c]) continue;
      EXPECT_EQ(predicate(c), want[c])
          << name << " of U+" << std::hex << static_cast<uint32_t>(c);
    }
  }

  std::map<std::string, nlohmann::json> tables_;
  std::vector<bool> assigned_;
};

TEST_F(UnicodeTableTest, WordCharactersAreThoseOfPythonsRe) {
  ExpectSame("word", IsPythonWordCharacter);
}

TEST_F(UnicodeTableTest, SpacesAreThoseOfPythonsSplit) {
  ExpectSame("space", IsSpace);
}

TEST_F(UnicodeTableTest, LowerCaseIsPythonsForEveryCharacter) {
  std::map<char32_t, std::u32string> want;
  for (const auto& row : tables_.at("lower")) {
    std::u32string& lower = want[row[0].get<uint32_t>()];
    for (uint32_t c : row[1]) lower.push_back(c);
  }
  for (char32_t c = 0; c < assigned_.size(); ++c) {
    if (!assigned_[c]) continue;
    const auto it = want.find(c);
    EXPECT_EQ(ToLower(std::u32string(1, c)),
              it == want.end() ? std::u32string(1, c) : it->second)
        << "U+" << std::hex << static_cast<uint32_t>(c);
  }
}

TEST_F(UnicodeTableTest, TheFinalSigmaIsPythonsNextToEveryCharacter) {
  ExpectSame("sigma_final_after", [](char32_t c) {
    return ToLower(std::u32string{U'.', c, U'\u03A3'}).back() == U'\u03C2';
  });
  ExpectSame("sigma_final_across", [](char32_t c) {
    return ToLower(std::u32string{U'A', c, U'\u03A3'}).back() == U'\u03C2';
  });
}

TEST(UnicodeTest, ASigmaBeforeALetterIsNotFinal) {
  EXPECT_EQ(ToLower(U"ΑΣ ΑΣΑ ΑΣ'Α Σ"), U"ας ασα ασ'α σ");
}

TEST(UnicodeTest, EveryCodePointSurvivesTheRoundTrip) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string bytes = EncodeUtf8({&c, 1});
    ASSERT_EQ(DecodeUtf8(bytes), std::u32string(1, c));
    ASSERT_FALSE(FirstInvalidUtf8(bytes).has_value());
  }
}

TEST(UnicodeTest, MalformedBytesAreFoundAndReplacedOneByOne) {
  const std::pair<std::string, std::u32string> cases[] = {
      {"ab\xFF", U"ab\uFFFD"},
      {"ab\xC0\xAF", U"ab\uFFFD\uFFFD"},                      // overlong
      {"ab\xED\xA0\x80", U"ab\uFFFD\uFFFD\uFFFD"},            // a surrogate
      {"ab\xE2\x82", U"ab\uFFFD\uFFFD"},                      // cut off
      {"ab\xF4\x90\x80\x80", U"ab\uFFFD\uFFFD\uFFFD\uFFFD"},  // too large
      {"ab\x80z", U"ab\uFFFDz"}};
  for (const auto& [bytes, want] : cases) {
    EXPECT_EQ(FirstInvalidUtf8(bytes), 2u) << bytes;
    EXPECT_EQ(DecodeUtf8(bytes), want) << bytes;
  }
}

}  // namespace
}  // namespace kvrecall
