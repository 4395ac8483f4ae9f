#include "client/forced_text.h"

#include <cstdint>
#include <map>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"

namespace kvrecall {

absl::Status ForceTexts(const std::string& path, std::vector<Sample>* samples) {
  ASSIGN_OR_RETURN(const auto texts, ReadTexts(path));
  const Sample* missing = nullptr;
  int64_t others = -1;  // that miss one too
  for (Sample& sample : *samples) {
    const auto text = texts.find(sample.id);
    if (text != texts.end()) {
      sample.forced_text = text->second;
      continue;
    }
    if (missing == nullptr) missing = &sample;
    ++others;
  }
  if (missing == nullptr) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(
      path, ": no text for sample '", missing->id, "'",
      others > 0 ? absl::StrCat(", nor for ", others, " more") : ""));
}

}  // namespace kvrecall
