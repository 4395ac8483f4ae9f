#include "common/base/json_nesting.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace kvrecall {

absl::Status CheckNesting(std::string_view json) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      if (c == '\\') ++i;
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepestJson)
        return absl::InvalidArgumentError(
            absl::StrCat("lists and objects nest deeper than ", kDeepestJson));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return absl::OkStatus();
}

}  // namespace kvrecall
