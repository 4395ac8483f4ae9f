#include "server/telemetry/h2o_evict.h"

namespace kvrecall {

Scores H2oEvictPolicy::Score(const StepView& view) {
  Scores scores = {view.accumulated, {}};
  for (const int64_t k : view.ks) scores.last.push_back(k - k / 2);
  return scores;
}

}  // namespace kvrecall
