// google.rpc.Status, as a client reads it from whoever answers.

#include <string>

#include "common/base/error_reason.h"
#include "proto/convert/error_convert.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {

void FuzzErrorDetails(std::string_view input) {
  InputBytes bytes(input);
  const auto code = static_cast<absl::StatusCode>(bytes.Byte() % 17);
  const absl::Status plain(code, "it failed");
  const absl::Status told = WithErrorDetails(plain, bytes.Rest());
  Require(told.code() == plain.code() && told.message() == plain.message(),
          "details change neither code nor words");
  if (told.ok()) {
    Require(ReasonOf(told).empty(), "what went well has no reason");
    return;
  }
  Require(!ReasonOf(told).empty(), "what failed has a reason");
  const absl::Status again = WithErrorDetails(plain, ErrorDetails(told));
  Require(ReasonOf(again) == ReasonOf(told), "the reason is kept");
  Require(FactsOf(again) == FactsOf(told), "facts are kept");
  Require(RetryAfterOf(again) == RetryAfterOf(told), "the wait is kept");
}

}  // namespace kvrecall
