#include "client/read_text.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a folder; expected a file"));
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int code = errno;
    const std::string words = absl::StrCat(path, ": ", std::strerror(code));
    return code == EACCES ? absl::PermissionDeniedError(words)
                          : absl::NotFoundError(words);
  }
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

absl::StatusOr<std::string> ReadTextFrom(const std::string& path,
                                         std::istream& standard_input) {
  const bool is_stdin = path == "-";
  std::string text;
  if (is_stdin) {
    text.assign(std::istreambuf_iterator<char>(standard_input), {});
  } else {
    ASSIGN_OR_RETURN(text, ReadFile(path));
  }
  const std::string name = is_stdin ? "standard input" : path;
  if (text.empty())
    return absl::InvalidArgumentError(absl::StrCat(name, ": is empty"));
  if (const auto bad = FirstInvalidUtf8(text))
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": is not UTF-8 at byte ", *bad + 1));
  return text;
}

}  // namespace kvrecall
