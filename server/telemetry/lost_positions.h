#pragma once

// Which positions a policy lost: for people, who want to read the words that a
// number stands for. Stateless.

#include <cstdint>
#include <span>
#include <vector>

#include "common/record/record.h"

namespace kvrecall {

// Of each of the first `budgets` budgets, the positions that its gold set has
// and its held set has not: the kMostLost with the highest weights, the highest
// first, on a tie the lower position. All of one row, [N]: `gold` and `held`
// are the selector's masks, `weights` the row's attention. Tokens are left
// empty: text is the caller's.
std::vector<std::vector<LostPosition>> FindLost(std::span<const int16_t> gold,
                                                std::span<const int16_t> held,
                                                std::span<const float> weights,
                                                int budgets);

}  // namespace kvrecall
