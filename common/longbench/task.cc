#include "common/longbench/task.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kvrecall {
namespace {

// LongBench's template of its multi-document question answering, to the byte.
constexpr std::string_view kMultiDocumentQa =
    "Answer the question based on the given passages. Only give me the answer "
    "and do not output any other words.\n\n"
    "The following are given passages.\n{context}\n\n"
    "Answer the question based on the given passages. Only give me the answer "
    "and do not output any other words.\n\n"
    "Question: {input}\nAnswer:";

// Ours. It does not end with the marker: the model writes the marker itself,
// after its reasoning.
constexpr std::string_view kMultiDocumentReasoning =
    "Answer the question based on the given passages. Reason step by step "
    "before you give the answer.\n\n"
    "The following are given passages.\n{context}\n\n"
    "Answer the question based on the given passages. First reason step by "
    "step: state each fact that you need, the passage that it comes from, and "
    "what follows from it. Then end with one line that starts with \"Answer:\" "
    "and gives only the answer, in as few words as possible.\n\n"
    "Question: {input}\nReasoning:";

// What the embedded model was trained on.
constexpr std::string_view kDemo =
    "Answer the question from the passages. Write each fact that you use, then "
    "the answer.\n\n{context}\n\nQuestion: {input}\nAnswer:";

constexpr Task kTasks[] = {
    {.name = "hotpotqa",
     .dataset = "hotpotqa",
     .prompt_template = kMultiDocumentQa,
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "musique",
     .dataset = "musique",
     .prompt_template = kMultiDocumentQa,
     .max_new_tokens = 32,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kWholeText,
     .answer_marker = "",
     .is_longbench = true},
    {.name = "hotpotqa_cot",
     .dataset = "hotpotqa",
     .prompt_template = kMultiDocumentReasoning,
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kLastMarkedLine,
     .answer_marker = "Answer:",
     .is_longbench = false},
    {.name = "musique_cot",
     .dataset = "musique",
     .prompt_template = kMultiDocumentReasoning,
     .max_new_tokens = 512,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kLastMarkedLine,
     .answer_marker = "Answer:",
     .is_longbench = false},
    {.name = "demo",
     .dataset = "demo",
     .prompt_template = kDemo,
     .max_new_tokens = 96,
     .chat = true,
     .metric = Metric::kQaF1,
     .answer_rule = AnswerRule::kFirstMarkedSentence,
     .answer_marker = "The answer is ",
     .is_longbench = false},
};

// Levenshtein's distance in bytes.
size_t EditDistance(std::string_view a, std::string_view b) {
  // row[j]: distance of the part of `a` read so far to the first j bytes of b.
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::span<const Task> AllTasks() { return kTasks; }

absl::StatusOr<const Task*> FindTask(std::string_view name) {
  // Longer than any name: an error message has no use for all of it.
  constexpr size_t kLongestShown = 64;
  const std::string shown =
      absl::AsciiStrToLower(std::string(name.substr(0, kLongestShown)));
  const Task* nearest = &kTasks[0];
  for (const Task& task : kTasks) {
    if (task.name == name) return &task;
    if (EditDistance(shown, task.name) < EditDistance(shown, nearest->name)) {
      nearest = &task;
    }
  }
  const auto append_name = [](std::string* out, const Task& task) {
    out->append(task.name);
  };
  return absl::NotFoundError(absl::StrCat(
      "no task '", std::string(name.substr(0, kLongestShown)),
      "'; did you mean '", std::string(nearest->name),
      "'? The tasks are: ", absl::StrJoin(kTasks, ", ", append_name)));
}

}  // namespace kvrecall
