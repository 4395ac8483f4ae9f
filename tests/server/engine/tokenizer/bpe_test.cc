#include "server/engine/tokenizer/bpe.h"

#include <random>

#include <gtest/gtest.h>

#include "server/engine/tokenizer/byte_level.h"

namespace kvrecall {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

BpeSpec MakeSpec(Merges merges) {
  BpeSpec spec;
  for (int byte = 0; byte < 256; ++byte)
    spec.vocabulary[BytesToAlphabet(std::string(1, static_cast<char>(byte)))] =
        byte;
  for (const auto& [left, right] : merges)
    spec.vocabulary.try_emplace(left + right,
                                static_cast<int32_t>(spec.vocabulary.size()));
  spec.merges = std::move(merges);
  return spec;
}

// The definition: merge the best-ranked leftmost pair until none is left.
std::vector<int64_t> SlowBpe(const BpeSpec& spec, std::string_view word) {
  std::vector<std::string> parts;
  for (const char byte : word)
    parts.push_back(BytesToAlphabet(std::string(1, byte)));
  for (;;) {
    size_t best = spec.merges.size();
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i)
      for (size_t rank = 0; rank < best; ++rank)
        if (spec.merges[rank] == std::pair(parts[i], parts[i + 1])) {
          best = rank;
          at = i;
        }
    if (best == spec.merges.size()) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
  std::vector<int64_t> ids;
  for (const std::string& part : parts) ids.push_back(spec.vocabulary.at(part));
  return ids;
}

TEST(Bpe, AgreesWithTheDefinitionOnAllShortWords) {
  const BpeSpec spec = MakeSpec({{"a", "b"},
                                 {"b", "c"},
                                 {"ab", "ab"},
                                 {"c", "c"},
                                 {"a", "a"},
                                 {"bc", "a"},
                                 {"aa", "bc"},
                                 {"cc", "ab"}});
  const auto bpe = Bpe::Create(spec);
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  for (int length = 1; length <= 7; ++length) {
    int count = 1;
    for (int i = 0; i < length; ++i) count *= 3;
    for (int index = 0; index < count; ++index) {
      std::string word;
      for (int i = 0, rest = index; i < length; ++i, rest /= 3)
        word += static_cast<char>('a' + rest % 3);
      std::vector<int64_t> ids;
      bpe->EncodeWord(word, ids);
      ASSERT_EQ(ids, SlowBpe(spec, word)) << word;
    }
  }
}

TEST(Bpe, AgreesWithTheDefinitionOnRandomMerges) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> tokens = {"a", "b", "c", "d"};
    Merges merges;
    for (int i = 0; i < 12; ++i) {
      const std::pair merge(tokens[random() % tokens.size()],
                            tokens[random() % tokens.size()]);
      const std::string merged = merge.first + merge.second;
      // As a trainer makes them: each token by one merge, parts first.
      if (std::find(tokens.begin(), tokens.end(), merged) != tokens.end())
        continue;
      merges.push_back(merge);
      tokens.push_back(merged);
    }
    const BpeSpec spec = MakeSpec(merges);
    const auto bpe = Bpe::Create(spec);
    ASSERT_TRUE(bpe.ok()) << bpe.status();
    for (int i = 0; i < 100; ++i) {
      std::string word;
      for (size_t n = 1 + random() % 30; n > 0; --n)
        word += static_cast<char>('a' + random() % 4);
      std::vector<int64_t> ids;
      bpe->EncodeWord(word, ids);
      ASSERT_EQ(ids, SlowBpe(spec, word)) << word;
    }
  }
}

TEST(Bpe, IgnoreMergesKeepsWholeWords) {
  BpeSpec spec = MakeSpec({{"a", "b"}});
  spec.vocabulary["abc"] = 300;
  spec.ignore_merges = true;
  const auto bpe = Bpe::Create(spec);
  ASSERT_TRUE(bpe.ok()) << bpe.status();
  std::vector<int64_t> ids;
  bpe->EncodeWord("abc", ids);
  bpe->EncodeWord("abcd", ids);
  EXPECT_EQ(ids, (std::vector<int64_t>{300, 256, 'c', 'd'}));
}

TEST(Bpe, RefusesWhatIsNoByteLevelVocabulary) {
  BpeSpec no_byte = MakeSpec({});
  no_byte.vocabulary.erase("a");
  EXPECT_NE(Bpe::Create(no_byte).status().message().find("byte 97"),
            absl::string_view::npos);
  BpeSpec no_merged = MakeSpec({{"a", "b"}});
  no_merged.vocabulary.erase("ab");
  EXPECT_NE(Bpe::Create(no_merged).status().message().find("'ab'"),
            absl::string_view::npos);
  BpeSpec twice = MakeSpec({});
  twice.vocabulary["xyz"] = 7;
  EXPECT_NE(Bpe::Create(twice).status().message().find("id 7"),
            absl::string_view::npos);
}

TEST(WordCache, FullShardsTakeNoMoreAndLongWordsStayOut) {
  WordCache cache(WordCache::kShards);
  const std::string long_word(WordCache::kMaxWordBytes + 1, 'x');
  const int64_t id = 1;
  cache.Insert(long_word, &id, 1);
  std::vector<int64_t> ids;
  EXPECT_FALSE(cache.Append(long_word, ids));
  int kept = 0;
  for (int i = 0; i < 1000; ++i) cache.Insert(std::to_string(i), &id, 1);
  for (int i = 0; i < 1000; ++i) kept += cache.Append(std::to_string(i), ids);
  EXPECT_EQ(kept, static_cast<int>(WordCache::kShards));
}

}  // namespace
}  // namespace kvrecall
