#include "common/record/run_config.h"

namespace kvrecall {

std::vector<Lane> Lanes(const RunConfig& config) {
  std::vector<Lane> lanes;
  for (size_t p = 0; p < config.policies.size(); ++p)
    for (size_t s = 0; s < config.scopes.size(); ++s)
      for (size_t b = 0; b < config.budgets.size(); ++b)
        lanes.push_back(
            {static_cast<int>(p), static_cast<int>(s), static_cast<int>(b)});
  return lanes;
}

}  // namespace kvrecall
