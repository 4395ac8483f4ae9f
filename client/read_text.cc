#include "client/read_text.h"

#include <iterator>

#include "absl/strings/str_cat.h"

#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "common/longbench/unicode.h"

namespace kvrecall {
absl::StatusOr<std::string> ReadTextFrom(const std::string& path,
                                         std::istream& standard_input) {
  const bool is_stdin = path == "-";
  std::string text;
  if (is_stdin) {
    text.assign(std::istreambuf_iterator<char>(standard_input), {});
  } else {
    ASSIGN_OR_RETURN(text, ReadWholeFile(path));
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
