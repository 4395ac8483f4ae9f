#pragma once

// A sample as the store keeps it: a line of LongBench's JSONL, which
// ParseSample reads back unchanged. Pure.

#include <string>

#include "absl/status/statusor.h"

#include "common/longbench/jsonl.h"

namespace kvrecall {

// InvalidArgument names the sample: no id, a NUL character or bytes that are
// not UTF-8 in a text, a negative length.
absl::StatusOr<std::string> SampleToJson(const Sample& sample);

}  // namespace kvrecall
