#include "client/sample_owners.h"

#include "absl/strings/str_cat.h"

namespace kvrecall {

absl::Status SampleOwners::Claim(const std::string& sample_id, size_t run) {
  std::lock_guard lock(mutex_);
  const auto [owner, is_new] = owners_.try_emplace(sample_id, run);
  if (is_new || owner->second == run) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "sample '", sample_id,
      "' is in two of the runs, which are to be looked at as one; pull them "
      "and merge the files, which takes it once"));
}

}  // namespace kvrecall
