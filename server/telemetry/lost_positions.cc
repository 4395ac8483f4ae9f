#include "server/telemetry/lost_positions.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "server/telemetry/selector.h"

namespace kvrecall {
namespace {

// Positions come in ascending order, so one that only equals the last stays
// out, and one behind its equals.
void Insert(int64_t position, float weight, std::vector<LostPosition>& best) {
  const auto place = std::find_if(
      best.begin(), best.end(),
      [&](const LostPosition& other) { return weight > other.weight; });
  best.insert(place, {position, weight, {}});
  if (best.size() > kMostLost) best.pop_back();
}

float LeastOf(const std::vector<LostPosition>& best) {
  return best.size() < kMostLost ? -std::numeric_limits<float>::infinity()
                                 : best.back().weight;
}

}  // namespace

std::vector<std::vector<LostPosition>> FindLost(std::span<const int16_t> gold,
                                                std::span<const int16_t> held,
                                                std::span<const float> weights,
                                                int budgets) {
  std::vector<std::vector<LostPosition>> lost(static_cast<size_t>(budgets));
  // What a weight has to exceed to be of interest to any budget: few do.
  float least = -std::numeric_limits<float>::infinity();
  for (size_t j = 0; j < weights.size(); ++j) {
    if (!(weights[j] > least)) continue;
    const unsigned gone =
        static_cast<uint16_t>(gold[j]) &
        ~static_cast<unsigned>(static_cast<uint16_t>(held[j]));
    if (gone == 0) continue;
    for (size_t b = 0; b < lost.size(); ++b) {
      if ((gone >> b & 1) == 0 || !(weights[j] > LeastOf(lost[b]))) continue;
      Insert(static_cast<int64_t>(j), weights[j], lost[b]);
    }
    least = LeastOf(lost[0]);
    for (const auto& best : lost) least = std::min(least, LeastOf(best));
  }
  return lost;
}

}  // namespace kvrecall
