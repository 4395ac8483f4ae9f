#include "common/base/error_reason.h"

#include <cstdint>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

// Names of a status's payloads.
constexpr std::string_view kReason = "kvrecall/reason";
constexpr std::string_view kRetryAfter = "kvrecall/retry_after_ms";
constexpr std::string_view kFact = "kvrecall/fact/";

using Code = absl::StatusCode;

// The first of a code is what it means where nobody said more.
constexpr ErrorReason kReasons[] = {
    {"INVALID_FIELD", Code::kInvalidArgument,
     "a field of the request is wrong; the fact `field` names it",
     "mend the request"},
    {"UNAUTHENTICATED", Code::kUnauthenticated,
     "the call has no token, or none of this server's",
     "ask the operator for one"},
    {"PERMISSION_DENIED", Code::kPermissionDenied,
     "the token's scope is not enough, or the run is someone else's",
     "ask the operator, or whose run it is"},
    {"RUN_NOT_FOUND", Code::kNotFound, "there is no such run",
     "look the name up (`kvrecall-client runs`)"},
    {"REQUEST_ID_REUSED", Code::kAlreadyExists,
     "the request id was used for another request", "choose another id"},
    {"FILE_EXISTS", Code::kAlreadyExists,
     "the backup's file is there already, and is not overwritten",
     "choose another path"},
    {"RUN_CLOSED", Code::kFailedPrecondition,
     "the run has ended, or was said to be complete, and takes no new samples",
     "make another run"},
    {"RUN_HELD", Code::kFailedPrecondition,
     "the server's program, model, device, driver or settings are not those "
     "that the run began with, and its samples stay in the queue: their "
     "numbers would not go with the others",
     "ask for the server as it was, or cancel the run and submit it anew"},
    {"RUN_ACTIVE", Code::kFailedPrecondition,
     "the run has not ended, and cannot be deleted", "cancel it first"},
    {"CURSOR_BEYOND_END", Code::kOutOfRange,
     "after_sequence lies beyond the run's last event",
     "begin anew; the database is another one"},
    {"NO_ROOM", Code::kResourceExhausted,
     "the server has no memory or disk left for this", "tell the operator"},
    {"DATABASE_FULL", Code::kResourceExhausted,
     "the database has the size that its operator allows; the server takes no "
     "new work, and reading works",
     "delete runs; tell the operator"},
    {"SLOW_READER", Code::kResourceExhausted,
     "a message of the stream was not taken for a minute; the fact "
     "`last_sequence` is the last that was. A client that does not read sees a "
     "cancelled stream instead",
     "watch again from there"},
    {"UNAVAILABLE", Code::kUnavailable, "the server cannot do it now",
     "try again"},
    {"DRAINING", Code::kUnavailable,
     "the server is shutting down; of a stream, the fact `last_sequence` is "
     "the "
     "last that was sent",
     "try again, or watch again from there"},
    {"DISK_LOW", Code::kUnavailable,
     "the server's disk is nearly full; it takes no new work, and reading "
     "works",
     "try again later; tell the operator"},
    {"DATABASE_BUSY", Code::kUnavailable,
     "another process holds the database's lock for long", "try again"},
    {"CANCELLED", Code::kCancelled, "the client has gone", "nothing"},
    {"DATABASE_DAMAGED", Code::kDataLoss,
     "the database is damaged; the server's log says where",
     "tell the operator"},
    {"INTERNAL", Code::kInternal,
     "a defect, or the operating system failed; the server's log says why",
     "tell the operator"},
};

absl::string_view View(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

std::span<const ErrorReason> AllErrorReasons() { return kReasons; }

absl::Status WithReason(absl::Status status, std::string_view reason) {
  status.SetPayload(View(kReason), absl::Cord(View(reason)));
  return status;
}

absl::Status WithFact(absl::Status status, std::string_view name,
                      std::string_view value) {
  status.SetPayload(absl::StrCat(View(kFact), View(name)),
                    absl::Cord(View(value)));
  return status;
}

absl::Status WithRetryAfter(absl::Status status, absl::Duration wait) {
  status.SetPayload(View(kRetryAfter),
                    absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(wait))));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  if (status.ok()) return "";
  if (const auto given = status.GetPayload(View(kReason)))
    return std::string(*given);
  for (const ErrorReason& entry : kReasons)
    if (entry.code == status.code()) return std::string(entry.name);
  return "UNKNOWN";
}

std::map<std::string, std::string> FactsOf(const absl::Status& status) {
  std::map<std::string, std::string> facts;
  status.ForEachPayload([&](absl::string_view name, const absl::Cord& value) {
    const std::string_view key(name.data(), name.size());
    if (key.starts_with(kFact))
      facts.emplace(key.substr(kFact.size()), std::string(value));
  });
  return facts;
}

std::optional<absl::Duration> RetryAfterOf(const absl::Status& status) {
  const auto given = status.GetPayload(View(kRetryAfter));
  int64_t milliseconds = 0;
  if (!given || !absl::SimpleAtoi(std::string(*given), &milliseconds))
    return std::nullopt;
  return absl::Milliseconds(milliseconds);
}

}  // namespace kvrecall
