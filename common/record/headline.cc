#include "common/record/headline.h"

#include <algorithm>

#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

// "h2o" and "h2o(self=1)" are one.
bool IsPlainH2o(const PolicySpec& policy) {
  const auto complete = CompletePolicySpec(policy);
  return complete.ok() && *complete == *CompletePolicySpec({"h2o", {}});
}

}  // namespace

Headline HeadlineOf(const RunConfig& config) {
  Headline headline;
  const auto found =
      std::find_if(config.policies.begin(), config.policies.end(), IsPlainH2o);
  if (found != config.policies.end())
    headline.policy = static_cast<int>(found - config.policies.begin());
  const std::vector<Lane> lanes = Lanes(config);
  int scope = -1;
  for (const Lane& lane : lanes) {
    if (lane.policy != headline.policy) continue;
    if (scope < 0 ||
        config.scopes[static_cast<size_t>(lane.scope)] == Scope::kGlobal)
      scope = lane.scope;
  }
  headline.scope = std::max(scope, 0);
  for (size_t i = 0; i < lanes.size(); ++i)
    if (lanes[i].policy == headline.policy && lanes[i].scope == headline.scope)
      headline.lanes.push_back(static_cast<int>(i));
  return headline;
}

}  // namespace kvrecall
