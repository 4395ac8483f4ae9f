#pragma once

// Whether two runs are parts of one study: made alike in all that their numbers
// follow from, but for the samples. Pure.

#include <string>

#include "common/record/run_info.h"

namespace kvrecall {

// What was asked for, or what computed it, that is not the same of both, with
// both values: "budgets ([\"0.1\"] and [\"0.2\"]), threads (2 and 4)"; empty
// where all is. The model's name is the operator's and does not count; its
// digest does.
std::string RunDifference(const RunInfo& one, const RunInfo& other);

// SHA-256, hexadecimal, of what RunDifference compares.
std::string StudyDigest(const RunInfo& run);

}  // namespace kvrecall
