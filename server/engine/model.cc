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

absl::Status CheckLanes(std::span<const at::Tensor> visible, int64_t length,
                        const ModelInfo& info) {
  if (length < 1)
    return absl::InvalidArgumentError(
        "an empty sequence has no step to compute again");
  if (visible.empty())
    return absl::InvalidArgumentError("a masked step needs a lane");
  const int64_t rows = info.layers * info.kv_heads;
  for (size_t i = 0; i < visible.size(); ++i) {
    const at::Tensor& mask = visible[i];
    if (!mask.defined() || mask.scalar_type() != at::kByte || mask.dim() != 2)
      return absl::InvalidArgumentError(
          absl::StrCat("the mask of lane ", i, " is no matrix of bytes"));
    const int64_t r = mask.size(0);
    if (mask.size(1) != length - 1 || (r != 1 && r != info.layers && r != rows))
      return absl::InvalidArgumentError(
          absl::StrCat("the mask of lane ", i, " is [", r, ", ", mask.size(1),
                       "]; it must be [1, ", info.layers, " or ", rows, ", ",
                       length - 1, "]"));
  }
  return absl::OkStatus();
}

}  // namespace kvrecall
