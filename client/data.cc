#include "client/data.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "common/longbench/task.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// The data set of a task; of one that only the server knows, its name without
// the mark of the reasoning variants.
std::string DatasetOf(std::string_view task) {
  if (absl::StatusOr<const Task*> known = FindTask(task); known.ok()) {
    return std::string((*known)->dataset);
  }
  constexpr std::string_view kReasoning = "_cot";
  if (task.ends_with(kReasoning)) task.remove_suffix(kReasoning.size());
  return std::string(task);
}

// What to do about a missing file, to stand behind "; ".
std::string WayToGetIt(std::string_view task) {
  return absl::StrCat(TakesLongBenchFile(task)
                          ? "get LongBench's files with 'kvrecall-client data "
                            "pull' or 'data add FILE', or "
                          : "",
                      "name the file itself with --data FILE");
}

std::optional<std::string> FindIn(const std::string& folder,
                                  const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::error_code error;
    const fs::path path = fs::path(folder) / name;
    if (fs::is_regular_file(path, error)) return path.string();
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> DataFileNames(std::string_view task) {
  std::vector<std::string> names;
  for (const std::string& stem : {std::string(task), DatasetOf(task)}) {
    for (const char* prefix : {"", "longbench_"}) {
      std::string name = absl::StrCat(prefix, stem, ".jsonl");
      if (std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
      }
    }
  }
  return names;
}

std::vector<std::string> DataFolders(const Environment& environment) {
  std::vector<std::string> folders = {environment.data_home + "/kvrecall/data"};
  if (!environment.executable_folder.empty()) {
    const fs::path program(environment.executable_folder);
    // <source>/build/<preset>/bin, and <prefix>/bin.
    for (const char* shipped :
         {"../../../deploy/models/nano/demo", "../share/kvrecall/demo"}) {
      folders.push_back((program / shipped).lexically_normal().string());
    }
  }
  return folders;
}

bool TakesLongBenchFile(std::string_view task) {
  const absl::StatusOr<const Task*> dataset = FindTask(DatasetOf(task));
  return dataset.ok() && (*dataset)->is_longbench;
}

absl::StatusOr<std::string> FindDataFile(std::string_view task,
                                         const std::string& data,
                                         const Environment& environment) {
  const std::vector<std::string> names = DataFileNames(task);
  std::error_code error;
  if (!data.empty()) {
    if (fs::is_regular_file(data, error)) return data;
    if (!fs::is_directory(data, error)) {
      return absl::NotFoundError(
          absl::StrCat("--data ", data, ": there is no such file or folder"));
    }
    if (auto found = FindIn(data, names)) return *found;
    return absl::NotFoundError(absl::StrCat(
        "no data file for task '", std::string(task), "' in ", data,
        " (looked for ", absl::StrJoin(names, ", "), "); ", WayToGetIt(task)));
  }
  const std::vector<std::string> folders = DataFolders(environment);
  for (const std::string& folder : folders) {
    if (auto found = FindIn(folder, names)) return *found;
  }
  // Most likely the name is wrong, not the file missing.
  if (absl::StatusOr<const Task*> known = FindTask(task); !known.ok()) {
    return absl::NotFoundError(
        absl::StrCat(known.status().message(),
                     " (one that only the server knows needs --data FILE)"));
  }
  return absl::NotFoundError(
      absl::StrCat("no data file for task '", std::string(task),
                   "': looked for ", absl::StrJoin(names, ", "), " in ",
                   absl::StrJoin(folders, ", "), "; ", WayToGetIt(task)));
}

}  // namespace kvrecall
