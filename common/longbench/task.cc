#include "common/longbench/task.h"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/longbench/task_table.h"

namespace kvrecall {
namespace {

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

// The table's rows, then LongBench-E's.
std::vector<Task> MakeTasks() {
  // Names that the variants point to; a deque's elements stay where they are.
  static std::deque<std::string>* const names = new std::deque<std::string>;
  std::vector<Task> tasks(TaskTable().begin(), TaskTable().end());
  for (const Task& task : TaskTable()) {
    if (!task.in_longbench_e) continue;
    Task& variant = tasks.emplace_back(task);
    variant.name =
        names->emplace_back(absl::StrCat(std::string(task.name), "_e"));
    variant.dataset = variant.name;
    variant.is_longbench_e = true;
  }
  return tasks;
}

}  // namespace

std::string_view MetricName(Metric metric) {
  switch (metric) {
    case Metric::kQaF1:
      return "qa_f1";
    case Metric::kRougeL:
      return "rouge_l";
    case Metric::kClassification:
      return "classification";
    case Metric::kRetrieval:
      return "retrieval";
    case Metric::kRetrievalChinese:
      return "retrieval_zh";
    case Metric::kCount:
      return "count";
    case Metric::kCodeSimilarity:
      return "code_sim";
    case Metric::kQaF1Chinese:
      return "qa_f1_zh";
    case Metric::kRougeLChinese:
      return "rouge_l_zh";
    case Metric::kNone:
      return "none";
  }
  return {};  // unreachable: every value is handled
}

std::span<const Task> AllTasks() {
  static const std::vector<Task>& tasks = *new std::vector<Task>(MakeTasks());
  return tasks;
}

absl::StatusOr<const Task*> FindTask(std::string_view name) {
  // Longer than any name: an error message has no use for all of it.
  constexpr size_t kLongestShown = 64;
  const std::string shown =
      absl::AsciiStrToLower(std::string(name.substr(0, kLongestShown)));
  const std::span<const Task> tasks = AllTasks();
  const Task* nearest = &tasks[0];
  for (const Task& task : tasks) {
    if (task.name == name) return &task;
    if (EditDistance(shown, task.name) < EditDistance(shown, nearest->name)) {
      nearest = &task;
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "no task '", OneLine(name, kLongestShown), "'; did you mean '",
      std::string(nearest->name), "'? `kvrecall-client tasks` lists them all"));
}

}  // namespace kvrecall
