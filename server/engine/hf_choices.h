#pragma once

// What a model's options come to on this machine, before a weight is read.
// Thread-safe.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "c10/core/Device.h"
#include "c10/core/ScalarType.h"

#include "server/engine/hf_config.h"
#include "server/engine/hf_model.h"
#include "server/engine/model.h"

namespace kvrecall {

struct HfChoices {
  c10::Device device{c10::DeviceType::CPU};
  c10::ScalarType dtype = c10::ScalarType::Float;  // of weights and KV cache
  int threads = 0;
  int64_t context = 0;  // positions, before memory is looked at
  int64_t prefill_chunk = 0;
};

// InvalidArgument, FailedPrecondition: an option that the model or the machine
// does not allow.
absl::StatusOr<HfChoices> ChooseForHfModel(const HfConfig& config,
                                           const HfModelOptions& options);

// All but what the weights say: their digest and their bytes.
ModelInfo DescribeHfModel(const HfConfig& config, const HfModelOptions& options,
                          const HfChoices& choices);

// Bounds the context by `free` bytes beside the weights, and says what bounds
// it. ResourceExhausted: one was asked for that memory has no room for, or
// there is room for none.
absl::Status FitContext(const HfModelOptions& options, const HfConfig& config,
                        int64_t free, ModelInfo& info);

}  // namespace kvrecall
