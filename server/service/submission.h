#pragma once

// A SubmitSamples request off the wire. Pure; thread-safe.

#include <cstdint>

#include "absl/status/status.h"
#include "grpcpp/support/byte_buffer.h"

#include "kvrecall/v1/run_service.pb.h"

namespace kvrecall {

// Samples of a call and their fields, lists and maps an entry each. An empty
// one takes two bytes of a message and hundreds of memory, so a request is
// counted through before it is taken apart.
inline constexpr int64_t kMaxEntriesPerCall = 64 << 10;

// Fills the empty `request`. InvalidArgument: not such a message, or more than
// kMaxEntriesPerCall entries; `request` is of no use then.
absl::Status ReadSubmission(const grpc::ByteBuffer& bytes,
                            v1::SubmitSamplesRequest* request);

}  // namespace kvrecall
