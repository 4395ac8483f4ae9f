#pragma once

// What every analysis asks of its columns. Thread-safe: no shared state.

#include <cstddef>
#include <span>
#include <string_view>

#include "absl/status/status.h"

namespace kvrecall {

// INVALID_ARGUMENT, naming the column and the first index, if a value is NaN or
// infinite. Nulls are the caller's to leave out, in all columns alike.
absl::Status CheckFinite(std::string_view column,
                         std::span<const double> values);

// INVALID_ARGUMENT, naming both columns, if their lengths differ.
absl::Status CheckSameLength(std::string_view a, size_t a_size,
                             std::string_view b, size_t b_size);

}  // namespace kvrecall
