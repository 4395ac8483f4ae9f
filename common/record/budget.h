#pragma once

// How many positions a policy may hold. Value types; no shared state.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

// A budget as the user asked for it. Ratios are doubles everywhere, so that
// 0.1 means the same in a flag, a message, a table and a file.
struct Budget {
  enum class Kind {
    kCurrentRatio,  // K = floor(value · N_t), N_t the current length
    kPromptRatio,   // K = floor(value · P), P the prompt's length
    kTokens,        // K = value
  };
  Kind kind = Kind::kCurrentRatio;
  double value = 0.1;  // a ratio in (0, 1], or a whole number of positions

  // K at a step that attends `positions` positions, for a prompt of
  // `prompt_tokens`: at least 1, at most `positions`.
  int64_t Positions(int64_t positions, int64_t prompt_tokens) const;

  // "0.2", "prompt:0.2" or "tokens:512"; ParseBudget reads it back exactly.
  std::string ToString() const;

  friend bool operator==(const Budget&, const Budget&) = default;
};

// Reads one budget. InvalidArgument names the text and what would be right.
absl::StatusOr<Budget> ParseBudget(std::string_view text);

// Reads a comma-separated list: not empty, no budget twice.
absl::StatusOr<std::vector<Budget>> ParseBudgets(std::string_view text);

}  // namespace kvrecall
