#include "common/base/read_file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace kvrecall {

absl::StatusOr<std::string> ReadWholeFile(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  if (status.type() == std::filesystem::file_type::directory) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is a directory; expected a file"));
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const int code = error ? error.value() : errno;
    const std::string message =
        absl::StrCat(path, ": cannot be read: ", std::strerror(code));
    return code == EACCES ? absl::PermissionDeniedError(message)
                          : absl::UnavailableError(message);
  }
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file.bad()) {
    return absl::UnavailableError(absl::StrCat(path, ": reading failed"));
  }
  return text;
}

}  // namespace kvrecall
