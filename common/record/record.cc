#include "common/record/record.h"

namespace kvrecall {

const char* FinishReasonName(FinishReason reason) {
  return reason == FinishReason::kEos ? "eos" : "length";
}

const char* RunStateName(RunState state) {
  switch (state) {
    case RunState::kQueued:
      return "queued";
    case RunState::kRunning:
      return "running";
    case RunState::kSucceeded:
      return "succeeded";
    case RunState::kPartiallyFailed:
      return "partially_failed";
    case RunState::kFailed:
      return "failed";
    case RunState::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

bool IsTerminal(RunState state) {
  return state != RunState::kQueued && state != RunState::kRunning;
}

}  // namespace kvrecall
