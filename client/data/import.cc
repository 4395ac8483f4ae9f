#include "client/data/import.h"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/data/sources.h"
#include "client/data/staged_file.h"
#include "common/base/status_macros.h"
#include "common/longbench/jsonl.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Change = ImportedFile::Change;

// A file that was checked and is not in its place yet.
struct Checked {
  ImportedFile file;
  StagedFile staged;
};

Change ChangeOf(const StagedFile& staged) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(staged.target(), error))) {
    return Change::kAdded;
  }
  return staged.SameAs(staged.target()) ? Change::kAlreadyThere
                                        : Change::kReplaced;
}

absl::StatusOr<Checked> Check(const DataSource& source,
                              const ImportOptions& options) {
  ASSIGN_OR_RETURN(
      StagedFile staged,
      StagedFile::Create(options.folder, source.dataset + ".jsonl"));
  RETURN_IF_ERROR(source.read([&](std::string_view bytes) {
    if (options.cancelled && options.cancelled()) {
      return absl::CancelledError("stopped; nothing was taken over");
    }
    return staged.Append(bytes);
  }));
  RETURN_IF_ERROR(staged.Finish());
  ASSIGN_OR_RETURN(const std::vector<Sample> samples,
                   ReadSamples(staged.path(), source.shown));
  const ImportedFile file{source.dataset, std::ssize(samples), staged.bytes(),
                          ChangeOf(staged)};
  return Checked{file, std::move(staged)};
}

absl::Status CheckReplacing(const std::vector<Checked>& files,
                            const std::string& folder) {
  std::vector<std::string> differing;
  for (const Checked& checked : files) {
    if (checked.file.change == Change::kReplaced) {
      differing.push_back(checked.file.dataset + ".jsonl");
    }
  }
  if (differing.empty()) return absl::OkStatus();
  const bool one = differing.size() == 1;
  return absl::AlreadyExistsError(absl::StrCat(
      absl::StrJoin(differing, ", "), one ? " is" : " are", " in ", folder,
      " already, with other content; nothing was changed. Give --force to "
      "replace ",
      one ? "it" : "them"));
}

}  // namespace

absl::Status MakeDataFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!error) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("cannot make the folder ", folder, ": ", error.message()));
}

absl::StatusOr<ImportResult> ImportData(const std::vector<std::string>& paths,
                                        const ImportOptions& options) {
  ASSIGN_OR_RETURN(DataSources sources, FindDataSources(paths));
  RETURN_IF_ERROR(MakeDataFolder(options.folder));
  std::vector<Checked> files;
  for (const DataSource& source : sources.files) {
    ASSIGN_OR_RETURN(Checked checked, Check(source, options));
    files.push_back(std::move(checked));
  }
  if (!options.replace) {
    RETURN_IF_ERROR(CheckReplacing(files, options.folder));
  }
  ImportResult result{.files = {}, .skipped = std::move(sources.skipped)};
  for (Checked& checked : files) {
    if (checked.file.change != Change::kAlreadyThere) {
      RETURN_IF_ERROR(checked.staged.Commit());
    }
    result.files.push_back(checked.file);
  }
  return result;
}

}  // namespace kvrecall
