#include "client/data/inventory.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "client/data.h"
#include "client/data/datasets.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

void Measure(DatasetFile* file) {
  errno = 0;
  std::ifstream stream(file->path, std::ios::binary);
  if (!stream) {
    file->problem = std::strerror(errno);
    return;
  }
  std::string line;
  while (std::getline(stream, line)) {
    const bool blank = line.find_first_not_of(" \t\r") == std::string::npos;
    if (!blank) ++file->samples;
  }
  std::error_code error;
  file->bytes = static_cast<int64_t>(fs::file_size(file->path, error));
  if (error || stream.bad()) file->problem = "reading failed";
}

}  // namespace

absl::StatusOr<std::vector<DatasetFile>> TakeInventory(
    const std::string& folder, const Environment& environment) {
  std::error_code error;
  if (!folder.empty() && !fs::is_directory(folder, error)) {
    return absl::NotFoundError(
        absl::StrCat("--data ", folder, ": there is no such folder"));
  }
  std::vector<DatasetFile> files;
  for (const std::string& dataset : LongBenchDatasets()) {
    DatasetFile& file = files.emplace_back();
    file.dataset = dataset;
    file.tasks = TasksOf(dataset);
    absl::StatusOr<std::string> found =
        FindDataFile(dataset, folder, environment);
    if (!found.ok()) continue;
    file.path = *std::move(found);
    Measure(&file);
  }
  return files;
}

}  // namespace kvrecall
