#pragma once

// What requests must satisfy before anything is done with them. Thread-safe:
// no shared state. Every error is InvalidArgument and begins with the field.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/record/run_config.h"
#include "kvrecall/v1/model_service.pb.h"
#include "kvrecall/v1/run_service.pb.h"

namespace kvrecall {

inline constexpr int kMaxSamplesPerCall = 64;
inline constexpr int64_t kMaxMessageBytes = 8 << 20;
// Of a text to be tokenised: a token a byte, the reply is still below the 4 MiB
// that a client accepts by default.
inline constexpr int64_t kMaxTokenizeBytes = 256 << 10;
// A leap year; what runs for longer does so without a limit.
inline constexpr absl::Duration kMaxTimeLimit = absl::Hours(24 * 366);
// Of Sample.ordinal: what a double keeps too.
inline constexpr int64_t kMostOrdinal = int64_t{1} << 53;
inline constexpr int kMaxPageSize = 1000;
inline constexpr int kDefaultRunsPage = 50;
inline constexpr int kDefaultRecordsPage = 500;

// Well-formed UTF-8 without NUL, of `min` to `max` characters.
absl::Status CheckText(std::string_view field, std::string_view text,
                       int64_t min, int64_t max);

// Of a file on the server: absolute, and not a folder's.
absl::Status CheckBackupPath(std::string_view path);
// The texts of a request for a run, and its time limit; what its configuration
// means is CompleteDefaults' to say.
absl::Status CheckNewRun(const v1::CreateRunRequest& request);
absl::Status CheckTokenize(const v1::TokenizeRequest& request);
absl::Status CheckRunId(std::string_view run_id);
absl::Status CheckAfterSequence(int64_t after_sequence);

// 0 is `fallback`; more than kMaxPageSize is kMaxPageSize.
absl::StatusOr<int> PageSize(int32_t requested, int fallback);

// Number and ids of the samples: what makes the whole call wrong.
absl::Status CheckSubmission(const v1::SubmitSamplesRequest& request);

// Why this one sample cannot be run, or nothing: what refuses it alone. A run
// that forces a text needs the sample to have it: an answer, or forced_text.
// Fields of its own and chats are for task custom.
std::optional<std::string> WhyRefused(const v1::Sample& sample, int index,
                                      const RunConfig& config);

}  // namespace kvrecall
