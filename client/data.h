#pragma once

// Where the sample files of a task are. Thread-safe: no shared state.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "client/environment.h"

namespace kvrecall {

// The file names that are tried, best first, for a task: <task>.jsonl and
// longbench_<task>.jsonl, then the same for its data set, which differs where
// several tasks share samples ("musique_cot" reads those of "musique").
std::vector<std::string> DataFileNames(std::string_view task);

// The folders that are searched, best first, where the user names none: the
// user's data folder (<data_home>/kvrecall/data), then what comes with the
// program (found from the executable's folder: a build tree's deploy/, or an
// installation's share/kvrecall).
std::vector<std::string> DataFolders(const Environment& environment);

// Whether the samples of `task` are LongBench's: those of its own tasks and of
// the reasoning variants, not the demo's. False for an unknown task.
bool TakesLongBenchFile(std::string_view task);

// The sample file of `task`. `data` is what the user gave: a file, which is
// taken whatever its name, a folder, or nothing. NOT_FOUND names every folder
// that was searched and says what to give; where no task is known by that
// name, it gives the nearest one.
absl::StatusOr<std::string> FindDataFile(std::string_view task,
                                         const std::string& data,
                                         const Environment& environment);

}  // namespace kvrecall
