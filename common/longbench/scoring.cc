#include "common/longbench/scoring.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

constexpr size_t kNone = std::string_view::npos;

std::string_view StripAsciiSpace(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == kNone) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Up to the first `end`, or all.
std::string_view UpTo(std::string_view text, char end) {
  return text.substr(0, text.find(end));
}

// Python's string.punctuation.
bool IsAsciiPunctuation(char32_t c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

bool IsArticle(std::u32string_view word) {
  return word == U"a" || word == U"an" || word == U"the";
}

// \b(a|an|the)\b -> " ". A match begins and ends at a word boundary and holds
// word characters only: it is a whole run of word characters.
std::u32string RemoveArticles(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    size_t end = i;
    while (end < text.size() && IsPythonWordCharacter(text[end])) ++end;
    if (end == i) {
      out.push_back(text[i++]);
      continue;
    }
    const std::u32string_view word = text.substr(i, end - i);
    if (IsArticle(word)) {
      out.push_back(U' ');
    } else {
      out.append(word);
    }
    i = end;
  }
  return out;
}

std::vector<std::u32string> Split(std::u32string_view text) {
  std::vector<std::u32string> tokens;
  for (size_t i = 0; i < text.size();) {
    if (IsSpace(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !IsSpace(text[end])) ++end;
    tokens.emplace_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

std::vector<std::u32string> NormalTokens(std::string_view text) {
  std::u32string lower = ToLower(DecodeUtf8(text));
  std::erase_if(lower, IsAsciiPunctuation);
  return Split(RemoveArticles(lower));
}

// The number of tokens in both, each as often as in the one with fewer of it.
size_t SharedTokens(const std::vector<std::u32string>& a,
                    const std::vector<std::u32string>& b) {
  std::unordered_map<std::u32string_view, size_t> left;
  for (const std::u32string& token : a) ++left[token];
  size_t shared = 0;
  for (const std::u32string& token : b) {
    const auto it = left.find(token);
    if (it == left.end() || it->second == 0) continue;
    --it->second;
    ++shared;
  }
  return shared;
}

double MetricValue(Metric metric, std::string_view prediction,
                   std::string_view truth) {
  switch (metric) {
    case Metric::kQaF1:
      return QaF1(prediction, truth);
  }
  return 0;  // unreachable: every value is handled
}

}  // namespace

std::string_view ExtractAnswer(const Task& task, std::string_view prediction) {
  switch (task.answer_rule) {
    case AnswerRule::kWholeText:
      return prediction;
    case AnswerRule::kFirstLine: {
      const size_t start = prediction.find_first_not_of('\n');
      if (start == kNone) return {};
      return UpTo(prediction.substr(start), '\n');
    }
    case AnswerRule::kLastMarkedLine: {
      const size_t marker = prediction.rfind(task.answer_marker);
      if (marker == kNone) return {};
      const size_t start = marker + task.answer_marker.size();
      const std::string_view rest = StripAsciiSpace(prediction.substr(start));
      return StripAsciiSpace(UpTo(rest, '\n'));
    }
    case AnswerRule::kFirstMarkedSentence: {
      const size_t marker = prediction.find(task.answer_marker);
      if (marker == kNone) return {};
      const size_t start = marker + task.answer_marker.size();
      return StripAsciiSpace(UpTo(prediction.substr(start), '.'));
    }
  }
  return {};  // unreachable: every value is handled
}

std::string NormalizeAnswer(std::string_view text) {
  std::u32string joined;
  for (const std::u32string& token : NormalTokens(text)) {
    if (!joined.empty()) joined.push_back(U' ');
    joined.append(token);
  }
  return EncodeUtf8(joined);
}

double QaF1(std::string_view prediction, std::string_view truth) {
  const std::vector<std::u32string> predicted = NormalTokens(prediction);
  const std::vector<std::u32string> expected = NormalTokens(truth);
  const size_t shared = SharedTokens(predicted, expected);
  if (shared == 0) return 0;
  const double precision = static_cast<double>(shared) / predicted.size();
  const double recall = static_cast<double>(shared) / expected.size();
  return 2 * precision * recall / (precision + recall);
}

std::optional<double> ScoreSample(const Task& task, std::string_view prediction,
                                  std::span<const std::string> answers) {
  if (answers.empty()) return std::nullopt;
  const std::string_view answer = ExtractAnswer(task, prediction);
  double best = 0;
  for (const std::string& truth : answers) {
    best = std::max(best, MetricValue(task.metric, answer, truth));
  }
  return best;
}

}  // namespace kvrecall
