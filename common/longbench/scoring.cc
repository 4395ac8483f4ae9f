#include "common/longbench/scoring.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <vector>

#include "common/longbench/code_similarity.h"
#include "common/longbench/normal_form.h"
#include "common/longbench/rouge.h"
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

// Upstream removes from the list that it iterates over, which skips the class
// after each that it removes: the numbers are LongBench's only with that.
double Classification(std::string_view prediction, std::string_view truth,
                      std::span<const std::string> classes) {
  std::vector<std::string_view> named;
  for (const std::string& name : classes)
    if (prediction.find(name) != kNone) named.push_back(name);
  for (size_t i = 0; i < named.size(); ++i) {
    if (truth.find(named[i]) == kNone || named[i] == truth) continue;
    named.erase(std::find(named.begin(), named.end(), named[i]));
  }
  if (std::find(named.begin(), named.end(), truth) == named.end()) return 0;
  return 1.0 / static_cast<double>(named.size());
}

// The runs of decimal digits of any script: Python's \d+.
std::vector<std::u32string> Numbers(std::string_view text) {
  std::vector<std::u32string> numbers;
  bool inside = false;
  for (const char32_t c : DecodeUtf8(text)) {
    const bool digit = IsDecimalDigit(c);
    if (digit && !inside) numbers.emplace_back();
    if (digit) numbers.back().push_back(c);
    inside = digit;
  }
  return numbers;
}

// The share of the prediction's numbers that are the wanted one.
double NumbersShare(std::string_view prediction, std::u32string_view wanted) {
  const std::vector<std::u32string> numbers = Numbers(prediction);
  if (numbers.empty()) return 0;
  return static_cast<double>(
             std::count(numbers.begin(), numbers.end(), wanted)) /
         static_cast<double>(numbers.size());
}

// The number behind the first `marker` that has one; empty if there is none.
std::u32string NumberAfter(std::string_view text, std::string_view marker) {
  for (size_t at = text.find(marker); at != kNone;
       at = text.find(marker, at + 1)) {
    std::u32string number;
    for (const char32_t c : DecodeUtf8(text.substr(at + marker.size()))) {
      if (!IsDecimalDigit(c)) break;
      number.push_back(c);
    }
    if (!number.empty()) return number;
  }
  return {};
}

// The first line that holds no comment and no fence, line feeds before it
// skipped; empty if there is none.
std::string_view FirstCodeLine(std::string_view text) {
  const size_t start = text.find_first_not_of('\n');
  if (start == kNone) return {};
  text.remove_prefix(start);
  while (true) {
    const std::string_view line = UpTo(text, '\n');
    if (line.find_first_of("`#") == kNone && line.find("//") == kNone)
      return line;
    if (line.size() == text.size()) return {};
    text.remove_prefix(line.size() + 1);
  }
}

double MetricValue(Metric metric, std::string_view prediction,
                   std::string_view truth,
                   std::span<const std::string> classes) {
  switch (metric) {
    case Metric::kQaF1:
      return QaF1(prediction, truth);
    case Metric::kRougeL:
      return RougeL(prediction, truth);
    case Metric::kClassification:
      return Classification(prediction, truth, classes);
    case Metric::kRetrieval:
      return NumbersShare(prediction, NumberAfter(truth, "Paragraph "));
    case Metric::kRetrievalChinese:
      return NumbersShare(prediction, NumberAfter(truth, "段落"));
    case Metric::kCount:
      return NumbersShare(prediction, DecodeUtf8(truth));
    case Metric::kCodeSimilarity:
      return CodeSimilarity(FirstCodeLine(prediction), truth);
    case Metric::kQaF1Chinese:
    case Metric::kRougeLChinese:
    case Metric::kNone:
      break;  // not scored: see UnscoredReason
  }
  return 0;
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

double QaF1(std::string_view prediction, std::string_view truth) {
  const std::vector<std::u32string> predicted = NormalWords(prediction);
  const std::vector<std::u32string> expected = NormalWords(truth);
  const size_t shared = SharedTokens(predicted, expected);
  if (shared == 0) return 0;
  const double precision = static_cast<double>(shared) / predicted.size();
  const double recall = static_cast<double>(shared) / expected.size();
  return 2 * precision * recall / (precision + recall);
}

std::string_view UnscoredReason(Metric metric) {
  switch (metric) {
    case Metric::kQaF1Chinese:
    case Metric::kRougeLChinese:
      return "LongBench cuts Chinese text into words with jieba, which has no "
             "packaged C++ library; words cut otherwise would give another "
             "score";
    case Metric::kNone:
      return "samples of one's own have no metric";
    default:
      return {};
  }
}

std::optional<double> ScoreSample(const Task& task, std::string_view prediction,
                                  std::span<const std::string> answers,
                                  std::span<const std::string> classes) {
  if (answers.empty() || !UnscoredReason(task.metric).empty())
    return std::nullopt;
  const std::string_view answer = ExtractAnswer(task, prediction);
  double best = 0;
  for (const std::string& truth : answers)
    best = std::max(best, MetricValue(task.metric, answer, truth, classes));
  return best;
}

}  // namespace kvrecall
