#include "client/export/comparison_json.h"

#include <string>
#include <utility>

#include "client/export/json_values.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Json ToJson(const Estimate& estimate) {
  Json json;
  json["value"] = OrNull(estimate.value);
  json["interval"] = estimate.interval
                         ? Json{estimate.interval->low, estimate.interval->high}
                         : Json();
  json["p"] = OrNull(estimate.p);
  return json;
}

// One entry a run; the first has no difference.
Json ToJson(const ComparedFigure& figure) {
  Json json = Json::array();
  for (size_t i = 0; i < figure.values.size(); ++i) {
    Json entry = ToJson(figure.values[i]);
    entry.erase("p");
    entry["difference"] = i == 0 ? Json() : ToJson(figure.differences[i]);
    json.push_back(std::move(entry));
  }
  return json;
}

}  // namespace

Json ComparisonToJson(const std::vector<RunInfo>& runs,
                      const RunComparison& comparison) {
  Json json;
  json["runs"] = Json::array();
  for (const RunInfo& run : runs) json["runs"].push_back(run.run_id);
  json["paired"] = comparison.paired;
  json["shared_samples"] = comparison.shared_samples;
  json["bootstrap"] = {{"resamples", comparison.bootstrap.resamples},
                       {"seed", comparison.bootstrap.seed},
                       {"level", comparison.bootstrap.level}};
  json["entropy"] = ToJson(comparison.entropy);
  json["score"] = ToJson(comparison.score);
  json["lanes"] = Json::array();
  for (const LaneComparison& lane : comparison.lanes) {
    Json entry;
    entry["policy"] = lane.policy;
    entry["scope"] = std::string(ScopeName(lane.scope));
    entry["budget"] = BudgetToJson(lane.budget);
    entry["recall"] = ToJson(lane.recall);
    entry["pearson"] = ToJson(lane.pearson);
    json["lanes"].push_back(std::move(entry));
  }
  return json;
}

}  // namespace kvrecall
