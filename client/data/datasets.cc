#include "client/data/datasets.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

#include "common/longbench/task.h"

namespace kvrecall {
namespace {

std::vector<std::string> MakeDatasets() {
  std::vector<std::string> datasets;
  for (const Task& task : AllTasks()) {
    if (task.is_longbench) datasets.emplace_back(task.dataset);
  }
  return datasets;
}

}  // namespace

const std::vector<std::string>& LongBenchDatasets() {
  static const std::vector<std::string>& datasets =
      *new std::vector<std::string>(MakeDatasets());
  return datasets;
}

std::optional<size_t> DatasetRank(std::string_view dataset) {
  const std::vector<std::string>& all = LongBenchDatasets();
  const auto it = std::find(all.begin(), all.end(), dataset);
  if (it == all.end()) return std::nullopt;
  return static_cast<size_t>(it - all.begin());
}

std::optional<std::string> DatasetOfFile(std::string_view file_name) {
  absl::string_view stem(file_name.data(), file_name.size());
  if (!absl::ConsumeSuffix(&stem, ".jsonl")) return std::nullopt;
  absl::ConsumePrefix(&stem, "longbench_");
  std::string dataset(stem);
  if (!DatasetRank(dataset)) return std::nullopt;
  return dataset;
}

std::vector<std::string> TasksOf(std::string_view dataset) {
  std::vector<std::string> tasks;
  for (const Task& task : AllTasks()) {
    if (task.dataset == dataset) tasks.emplace_back(task.name);
  }
  return tasks;
}

}  // namespace kvrecall
