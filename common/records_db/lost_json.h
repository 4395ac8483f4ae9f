#pragma once

// How `step_recalls` keeps the positions that a policy lost: a JSON list of
// [position, weight, token]. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/record.h"

namespace kvrecall {

// Finite weights only, each in the fewest digits that give the same float.
// Bytes that are not UTF-8 become U+FFFD.
std::string LostToJson(const std::vector<LostPosition>& lost);

// InvalidArgument: not such a list.
absl::StatusOr<std::vector<LostPosition>> LostFromJson(std::string_view text);

}  // namespace kvrecall
