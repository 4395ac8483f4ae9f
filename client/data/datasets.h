#pragma once

// LongBench's data sets, as its files are named. Immutable, thread-safe.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kvrecall {

// The 21 of LongBench v1 and the 13 of LongBench-E, in the tasks' order.
const std::vector<std::string>& LongBenchDatasets();

// The place of `dataset` in that list; nullopt where it is none of them.
std::optional<size_t> DatasetRank(std::string_view dataset);

// The data set whose samples a file of this name (without folders) has:
// <dataset>.jsonl or longbench_<dataset>.jsonl; nullopt for any other name.
std::optional<std::string> DatasetOfFile(std::string_view file_name);

// The tasks that take its samples: "hotpotqa" has "hotpotqa", "hotpotqa_cot".
std::vector<std::string> TasksOf(std::string_view dataset);

}  // namespace kvrecall
