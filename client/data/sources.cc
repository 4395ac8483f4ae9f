#include "client/data/sources.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/data/datasets.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// Far above LongBench's largest: a member that unpacks to more is no file of
// LongBench's, and not to be written to the user's disk.
constexpr int64_t kLargestFile = int64_t{1} << 30;
constexpr size_t kChunkBytes = 1 << 16;

absl::Status ReadPlainFile(const std::string& path, ByteSink sink) {
  std::ifstream file(path, std::ios::binary);
  std::array<char, kChunkBytes> chunk;
  while (file) {
    file.read(chunk.data(), chunk.size());
    const auto got = static_cast<size_t>(file.gcount());
    if (got > 0) RETURN_IF_ERROR(sink({chunk.data(), got}));
  }
  if (file.eof()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": cannot be read"));
}

bool IsJsonl(std::string_view name) {
  return name.ends_with(".jsonl") && !name.starts_with('.');
}

bool IsZip(const std::string& path) {
  if (path.ends_with(".zip")) return true;
  std::ifstream file(path, std::ios::binary);
  std::array<char, 2> mark{};
  file.read(mark.data(), mark.size());
  return mark[0] == 'P' && mark[1] == 'K';
}

// Takes a file where its name is a data set's, else notes it as skipped.
void Sort(std::string_view file_name, DataSource source, DataSources* sources) {
  if (!IsJsonl(file_name)) return;
  std::optional<std::string> dataset = DatasetOfFile(file_name);
  if (!dataset) {
    sources->skipped.push_back(std::move(source.shown));
    return;
  }
  source.dataset = *std::move(dataset);
  sources->files.push_back(std::move(source));
}

void AddPlainFile(const fs::path& path, DataSources* sources) {
  const std::string name = path.string();
  Sort(path.filename().string(),
       {.dataset = {},
        .shown = name,
        .read = [name](ByteSink sink) { return ReadPlainFile(name, sink); }},
       sources);
}

absl::Status AddFolder(const fs::path& folder, DataSources* sources) {
  for (const fs::path& searched : {folder, folder / "data"}) {
    std::error_code error;
    if (!fs::is_directory(searched, error)) continue;
    for (fs::directory_iterator it(searched, error), end; !error && it != end;
         it.increment(error)) {
      std::error_code ignored;
      if (it->is_regular_file(ignored)) AddPlainFile(it->path(), sources);
    }
    if (error) {
      return absl::InvalidArgumentError(absl::StrCat(
          searched.string(), ": cannot be read: ", error.message()));
    }
  }
  return absl::OkStatus();
}

absl::Status AddArchive(const std::string& path, DataSources* sources) {
  ASSIGN_OR_RETURN(ZipArchive opened, ZipArchive::Open(path));
  const auto archive = std::make_shared<ZipArchive>(std::move(opened));
  ASSIGN_OR_RETURN(const std::vector<ZipArchive::Member> members,
                   archive->Members());
  for (const ZipArchive::Member& member : members) {
    const std::string shown = archive->Shown(member);
    const auto read = [archive, member, shown](ByteSink sink) {
      if (member.bytes > kLargestFile) {
        return absl::InvalidArgumentError(absl::StrCat(
            shown, ": unpacks to ", member.bytes,
            " bytes; none of LongBench's files is nearly as large"));
      }
      return archive->Read(member, sink);
    };
    // The base name alone: a member's folders decide nothing.
    Sort(member.name.substr(member.name.rfind('/') + 1),
         {.dataset = {}, .shown = shown, .read = read}, sources);
  }
  return absl::OkStatus();
}

absl::Status AddPath(const std::string& path, DataSources* sources) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return absl::NotFoundError(
        absl::StrCat(path, ": there is no such file or folder"));
  }
  if (fs::is_directory(status)) return AddFolder(path, sources);
  if (fs::path(path).extension() == ".jsonl") {
    AddPlainFile(path, sources);
    return absl::OkStatus();
  }
  if (IsZip(path)) return AddArchive(path, sources);
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": is neither a folder, a .jsonl file nor a zip archive"));
}

absl::Status CheckDistinct(const std::vector<DataSource>& sorted) {
  const auto twice = std::adjacent_find(
      sorted.begin(), sorted.end(),
      [](const auto& a, const auto& b) { return a.dataset == b.dataset; });
  if (twice == sorted.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(twice->shown, " and ", std::next(twice)->shown,
                   " are both data of ", twice->dataset, "; give one of them"));
}

absl::Status NothingFound(const std::vector<std::string>& paths,
                          const DataSources& sources) {
  const bool skipped = !sources.skipped.empty();
  return absl::InvalidArgumentError(absl::StrCat(
      absl::StrJoin(skipped ? sources.skipped : paths, ", "),
      skipped ? ": not named after a data set of LongBench"
              : ": no file of LongBench's there",
      " (such as hotpotqa.jsonl); 'kvrecall-client data list' names them "
      "all"));
}

}  // namespace

absl::StatusOr<DataSources> FindDataSources(
    const std::vector<std::string>& paths) {
  DataSources sources;
  for (const std::string& path : paths) {
    RETURN_IF_ERROR(AddPath(path, &sources));
  }
  if (sources.files.empty()) return NothingFound(paths, sources);
  std::stable_sort(sources.files.begin(), sources.files.end(),
                   [](const DataSource& a, const DataSource& b) {
                     return *DatasetRank(a.dataset) < *DatasetRank(b.dataset);
                   });
  std::sort(sources.skipped.begin(), sources.skipped.end());
  RETURN_IF_ERROR(CheckDistinct(sources.files));
  return sources;
}

}  // namespace kvrecall
