#include "client/submitter.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

#include "common/base/error_reason.h"
#include "common/base/status_macros.h"
#include "proto/convert/sample_convert.h"

namespace kvrecall {
namespace {

// Room in a request for run_id and complete, which come later.
constexpr int64_t kEnvelopeBytes = 1024;
// How often a wait looks whether it is to stop.
constexpr absl::Duration kLook = absl::Milliseconds(100);
// Tag and length in front of each sample.
constexpr int64_t kSampleOverhead = 6;

}  // namespace

absl::StatusOr<std::vector<v1::SubmitSamplesRequest>> MakeBatches(
    std::span<const Sample> samples, const BatchLimits& limits) {
  std::vector<v1::SubmitSamplesRequest> batches(1);
  int64_t bytes = kEnvelopeBytes;
  for (const Sample& sample : samples) {
    v1::Sample message = ToProto(sample);
    const int64_t size =
        static_cast<int64_t>(message.ByteSizeLong()) + kSampleOverhead;
    if (size + kEnvelopeBytes > limits.bytes) {
      return absl::InvalidArgumentError(absl::StrFormat(
          "sample %s has %d bytes; the server takes messages of at most %d "
          "bytes",
          sample.id, size, limits.bytes));
    }
    if (batches.back().samples_size() >= limits.samples ||
        bytes + size > limits.bytes) {
      batches.emplace_back();
      bytes = kEnvelopeBytes;
    }
    *batches.back().add_samples() = std::move(message);
    bytes += size;
  }
  batches.back().set_complete(true);
  return batches;
}

namespace {

// One call, tried again while the server is away.
absl::StatusOr<v1::SubmitSamplesResponse> SubmitOnce(
    const Connection& connection, const v1::SubmitSamplesRequest& batch,
    const SubmitPolicy& policy,
    const std::function<void(std::string_view)>& on_message) {
  absl::Duration pause = policy.first_pause;
  auto response = connection.SubmitSamples(batch);
  for (int attempt = 1;
       attempt < policy.attempts && absl::IsUnavailable(response.status());
       ++attempt) {
    if (attempt == 1) {
      on_message(absl::StrCat("cannot submit: ", response.status().message(),
                              "; trying again"));
    }
    absl::SleepFor(
        std::max(pause, RetryAfterOf(response.status()).value_or(pause)));
    pause *= 2;
    response = connection.SubmitSamples(batch);
  }
  return response;
}

// Counts what became of the batch; what is left of it, which found the queue
// full.
v1::SubmitSamplesRequest TakeOutcomes(const v1::SubmitSamplesRequest& batch,
                                      const v1::SubmitSamplesResponse& response,
                                      SubmitReport& report) {
  v1::SubmitSamplesRequest rest;
  const int results = std::min(response.results_size(), batch.samples_size());
  for (int i = 0; i < results; ++i) {
    const auto& result = response.results(i);
    switch (result.outcome()) {
      case v1::SubmitSamplesResponse::OUTCOME_DUPLICATE:
        ++report.duplicates;
        break;
      case v1::SubmitSamplesResponse::OUTCOME_REFUSED:
        report.refusals.push_back(absl::StrCat("sample ", result.sample_id(),
                                               ": ", result.message()));
        break;
      case v1::SubmitSamplesResponse::OUTCOME_QUEUE_FULL:
        *rest.add_samples() = batch.samples(i);
        break;
      default:
        ++report.accepted;
    }
  }
  rest.set_run_id(batch.run_id());
  rest.set_complete(batch.complete());
  return rest;
}

absl::Duration RetryDelayOf(const v1::SubmitSamplesResponse& response) {
  return absl::Seconds(response.retry_delay().seconds()) +
         absl::Nanoseconds(response.retry_delay().nanos());
}

}  // namespace

absl::StatusOr<SubmitReport> SubmitBatches(
    const Connection& connection, const std::string& run_id,
    std::vector<v1::SubmitSamplesRequest> batches,
    const std::function<void(std::string_view)>& on_message,
    const SubmitPolicy& policy) {
  SubmitReport report;
  bool told = false;
  for (v1::SubmitSamplesRequest& batch : batches) {
    batch.set_run_id(run_id);
    while (true) {
      ASSIGN_OR_RETURN(const v1::SubmitSamplesResponse response,
                       SubmitOnce(connection, batch, policy, on_message));
      batch = TakeOutcomes(batch, response, report);
      if (batch.samples().empty()) break;
      if (!told) {
        on_message("the server's queue is full; the rest waits for room");
        told = true;
      }
      const absl::Time until =
          absl::Now() + std::max(policy.first_pause, RetryDelayOf(response));
      while (absl::Now() < until) {
        if (policy.stopped())
          return absl::CancelledError("stopped while the queue was full");
        absl::SleepFor(std::min(until - absl::Now(), kLook));
      }
    }
  }
  return report;
}

std::string NewRequestId() {
  std::random_device device;
  const auto word = [&device] {
    return (static_cast<uint64_t>(device()) << 32) | device();
  };
  const uint64_t high = (word() & ~uint64_t{0xF000}) | 0x4000;
  const uint64_t low = (word() >> 2) | (uint64_t{2} << 62);
  return absl::StrFormat("%08x-%04x-%04x-%04x-%012x", high >> 32,
                         high >> 16 & 0xFFFF, high & 0xFFFF, low >> 48,
                         low & 0xFFFFFFFFFFFF);
}

}  // namespace kvrecall
