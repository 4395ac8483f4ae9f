#pragma once

// One prompt and a given continuation through model and telemetry, so that
// another program can be asked for the same records. Engine thread only.

#include <string>

#include "absl/status/status.h"

#include "common/record/run_config.h"
#include "server/engine/model.h"

namespace kvrecall::bench {

// Reads {"prompt": [ids], "forced": [ids]} from `tokens_path`: prefill over all
// prompt tokens but the last, then one step for each forced token. Step t feeds
// the last prompt token (t = 1) or forced token t − 1, and its token_id is
// forced token t. The sample key is 0.
//
// Writes one JSON line a step to `records_path`:
//   {"step", "n", "token_id", "entropy", "logprob", "recalls": [{"policy",
//    "scope", "budget", "k", "recall", "chance", "mass", "mass_ratio"}]}
//
// InvalidArgument: the file's form, or a token outside the vocabulary.
// NotFound, Unavailable: a file that cannot be read or written.
absl::Status ForcedRun(Model& model, const RunConfig& run,
                       const std::string& tokens_path,
                       const std::string& records_path);

}  // namespace kvrecall::bench
