#include "server/engine/model.h"

#include "absl/strings/str_cat.h"

namespace kvrecall {

absl::Status CheckTokens(std::span<const int64_t> tokens,
                         const ModelInfo& info) {
  for (int64_t token : tokens)
    if (token < 0 || token >= info.vocabulary)
      return absl::InvalidArgumentError(absl::StrCat(
          "token ", token, " is outside the vocabulary of ", info.vocabulary));
  return absl::OkStatus();
}

absl::Status CheckCapacity(int64_t capacity, const ModelInfo& info) {
  if (capacity >= 1 && capacity <= info.context_window) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a text of ", capacity, " tokens does not fit the ",
                   info.context_window, " of the model's context"));
}

}  // namespace kvrecall
