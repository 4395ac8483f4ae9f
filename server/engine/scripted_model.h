#pragma once

// A model without weights: logits, attention rows and keys are a fixed function
// of the seed and the tokens seen, so every test that needs a model but not its
// numbers runs in milliseconds. A masked step's logits move away from the
// step's own by a function of which positions are hidden, the further the more
// attention they had. Delays and faults are put in through a hook. Same thread
// rule as every Model.

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"

#include "server/engine/model.h"

namespace kvrecall {

// Where the scripted model is when it calls the hook.
struct ScriptedPoint {
  enum class Phase { kPrefill, kStep, kMaskedStep };
  Phase phase = Phase::kPrefill;
  // Held before this chunk or step, by a masked step its own too.
  int64_t positions = 0;
};

struct ScriptedModelOptions {
  uint64_t seed = 1;
  int64_t layers = 2;
  int64_t kv_heads = 2;
  int64_t vocabulary = 512;
  int64_t context_window = 4096;
  int64_t prefill_chunk = 64;
  int64_t eos_token = 0;
  // EOS is by far the most likely token at every position that is a multiple
  // of this; 0: never favoured.
  int64_t eos_every = 0;
  // Called before each prefill chunk, step and masked step, on the engine
  // thread: may wait (a delay) or return an error, which the call then returns
  // (a fault).
  std::function<absl::Status(const ScriptedPoint&)> hook;
  // Steps at positions for which this is true give NaN logits.
  std::function<bool(int64_t position)> nan_logits;
  // The same, but for the attention of their last position.
  std::function<bool(int64_t position)> nan_rows;
  // What CheckDevice says; without it: that all is well.
  std::function<absl::Status()> device;
};

std::unique_ptr<Model> MakeScriptedModel(ScriptedModelOptions options);

}  // namespace kvrecall
