#pragma once

// Texts that a run is to take instead of the model's own. Thread-safe: no
// shared state.

#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/longbench/jsonl.h"

namespace kvrecall {

// Sets forced_text of each sample to the text that the file (JSON lines with
// `_id` and `text`) has for its id; texts of other ids are left. NOT_FOUND
// names a sample without one; other errors are those of ReadTexts.
absl::Status ForceTexts(const std::string& path, std::vector<Sample>* samples);

}  // namespace kvrecall
