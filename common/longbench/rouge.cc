#include "common/longbench/rouge.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "common/longbench/normal_form.h"
#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

using Words = std::vector<int>;  // each word by its number

// Numbers the words of both texts alike.
class Vocabulary {
 public:
  int Number(const std::u32string& word) {
    return numbers_.emplace(word, static_cast<int>(numbers_.size()))
        .first->second;
  }

 private:
  std::unordered_map<std::u32string, int> numbers_;
};

// What stands between full stops; a sentence of white space alone has one word,
// the empty one, as the package has it.
std::vector<Words> Sentences(std::string_view text, Vocabulary& vocabulary) {
  const std::u32string decoded = DecodeUtf8(text);
  std::vector<Words> sentences;
  for (size_t begin = 0; begin <= decoded.size();) {
    const size_t end = std::min(decoded.find(U'.', begin), decoded.size());
    if (end > begin) {
      Words& words = sentences.emplace_back();
      for (const std::u32string& word : SplitAtSpace(
               std::u32string_view(decoded).substr(begin, end - begin)))
        words.push_back(vocabulary.Number(word));
      if (words.empty()) words.push_back(vocabulary.Number(U""));
    }
    begin = end + 1;
  }
  return sentences;
}

// Adds the words of a longest common subsequence: of several the one that is
// found from the ends, where neither is longer by leaving out the last word of
// y.
void AddCommonSubsequence(const Words& x, const Words& y,
                          std::unordered_set<int>& words) {
  const size_t width = y.size() + 1;
  std::vector<int32_t> length((x.size() + 1) * width);
  for (size_t i = 1; i <= x.size(); ++i)
    for (size_t j = 1; j <= y.size(); ++j)
      length[i * width + j] = x[i - 1] == y[j - 1]
                                  ? length[(i - 1) * width + j - 1] + 1
                                  : std::max(length[(i - 1) * width + j],
                                             length[i * width + j - 1]);
  for (size_t i = x.size(), j = y.size(); i > 0 && j > 0;) {
    if (x[i - 1] == y[j - 1]) {
      words.insert(x[i - 1]);
      --i;
      --j;
    } else if (length[(i - 1) * width + j] > length[i * width + j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

double CountWords(const std::vector<Words>& sentences) {
  std::unordered_set<int> words;
  for (const Words& sentence : sentences)
    words.insert(sentence.begin(), sentence.end());
  return static_cast<double>(words.size());
}

}  // namespace

double RougeL(std::string_view prediction, std::string_view truth) {
  Vocabulary vocabulary;
  const std::vector<Words> predicted = Sentences(prediction, vocabulary);
  const std::vector<Words> expected = Sentences(truth, vocabulary);
  if (predicted.empty() || expected.empty()) return 0;
  std::unordered_set<int> common;
  for (const Words& x : expected)
    for (const Words& y : predicted) AddCommonSubsequence(x, y, common);
  const double shared = static_cast<double>(common.size());
  const double recall = shared / CountWords(expected);
  const double precision = shared / CountWords(predicted);
  // The package keeps the denominator from 0 like this.
  constexpr double kLittle = 1e-8;
  return 2 * (precision * recall / (precision + recall + kLittle));
}

}  // namespace kvrecall
