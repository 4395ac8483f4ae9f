#include "server/store/run_exports.h"

#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/records_db/export_file.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

constexpr char kSuffix[] = ".export-";

// Whether a file's name, behind the database's and the suffix, is one of
// Make's.
bool IsNumber(std::string_view rest) {
  return !rest.empty() &&
         rest.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<std::istream>> RunExports::Make(
    std::string_view run_id, const std::function<bool()>& stop) {
  const std::string file = absl::StrCat(database_, kSuffix, made_++);
  RETURN_IF_ERROR(WriteRunFile(database_, run_id, file, stop));
  auto stream = std::make_unique<std::ifstream>(file, std::ios::binary);
  std::error_code error;
  fs::remove(file, error);
  if (!*stream)
    return absl::InternalError(absl::StrCat(file, ": cannot be read"));
  return std::unique_ptr<std::istream>(std::move(stream));
}

void RunExports::RemoveLeftovers() const {
  const fs::path database(database_);
  const std::string prefix = database.filename().string() + kSuffix;
  const fs::path folder =
      database.has_parent_path() ? database.parent_path() : fs::path(".");
  std::error_code error;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) &&
        IsNumber(std::string_view(name).substr(prefix.size())))
      fs::remove(entry.path(), error);
  }
}

}  // namespace kvrecall
