#pragma once

// One sample through the engine: prefill, then step after step, each step's
// record handed on as soon as it is there. The only place that knows both
// engine and telemetry. Runs on the engine thread.

#include <atomic>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "common/longbench/task.h"
#include "common/record/record.h"
#include "server/engine/model.h"
#include "server/runner/observer.h"
#include "server/runner/prompt_builder.h"
#include "server/store/store.h"

namespace kvrecall {

// A leased sample whose prompt is ready.
struct PreparedSample {
  LeasedSample lease;
  const Task* task = nullptr;
  Prompt prompt;
  std::vector<int64_t> forced;  // tokens, without the EOS; see RunConfig::force
};

// Where the records go. OK to go on; an error stops the sample.
using EventSink =
    std::function<absl::Status(decltype(Event::body) body, absl::Time when)>;

// Told how long each pass through the model took; may be empty.
using PassTimer = std::function<void(EnginePhase phase, absl::Duration time)>;

// The first 8 bytes, big-endian, of the sample key: the SHA-256 over what the
// text depends on, which is task, sample id, prompt, model, and the
// configuration without policies, scopes, budgets and gap lanes.
uint64_t SampleKey64(const PreparedSample& sample, const ModelInfo& model);

// Yields SampleStart, a StepRecord per step and SampleResult. Cancelled: the
// run was cancelled, or `stop` became true; what was yielded stands. Any other
// error is the sample's: out of memory, a prompt that does not fit, logits
// that are not finite, a sink that failed.
absl::Status RunSample(Model& model, const Tokenizer& tokenizer,
                       const PreparedSample& sample,
                       const std::atomic<bool>& stop, const EventSink& sink,
                       const PassTimer& timer = {});

// What a failed sample is recorded as.
SampleFailure FailureOf(const absl::Status& status);

}  // namespace kvrecall
