#include "common/record/run_info.h"

#include "absl/strings/str_cat.h"

#include "common/base/error_reason.h"

namespace kvrecall {

absl::Status RunIsHeld(std::string_view run_id, std::string_view why) {
  return WithReason(
      absl::FailedPreconditionError(absl::StrCat(
          "run '", std::string(run_id),
          "' is held, its samples wait: ", std::string(why),
          "; serve this database as it was, or cancel the run and submit it "
          "anew")),
      "RUN_HELD");
}

}  // namespace kvrecall
