#include "client/export/analysis_json.h"

#include <optional>
#include <string>
#include <vector>

#include "client/export/json_values.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Json IntervalToJson(const std::optional<Interval>& interval) {
  return interval ? Json{interval->low, interval->high} : Json();
}

Json ToJson(const Estimate& estimate) {
  Json json = {{"value", OrNull(estimate.value)},
               {"interval", IntervalToJson(estimate.interval)}};
  if (estimate.p) json["p"] = *estimate.p;
  return json;
}

Json ToJson(const CorrelationEstimate& estimate) {
  return {{"r", OrNull(estimate.r)},
          {"n", estimate.n},
          {"interval", IntervalToJson(estimate.interval)},
          {"p", OrNull(estimate.p)},
          {"naive_p", OrNull(estimate.naive_p)}};
}

Json ToJson(const std::vector<BinEstimate>& bins) {
  Json json = Json::array();
  for (const BinEstimate& bin : bins)
    json.push_back({{"low", bin.low},
                    {"high", OrNull(bin.high)},
                    {"steps", bin.steps},
                    {"samples", bin.samples},
                    {"mean", OrNull(bin.mean.value)},
                    {"interval", IntervalToJson(bin.mean.interval)}});
  return json;
}

Json ToJson(const LagEstimate& lag) {
  return {{"pooled", ToJson(lag.pooled)}, {"within", ToJson(lag.within)}};
}

Json Name(const RunConfig& config, const Lane& lane) {
  return {
      {"policy", config.policies[static_cast<size_t>(lane.policy)].ToString()},
      {"scope", ScopeName(config.scopes[static_cast<size_t>(lane.scope)])},
      {"budget",
       BudgetToJson(config.budgets[static_cast<size_t>(lane.budget)])}};
}

Json ToJson(const VerdictLine& line) {
  return {{"finding", FindingName(line.finding)}, {"reason", line.reason}};
}

Json ToJson(const Verdict& verdict) {
  Json budgets = Json::array();
  for (const BudgetVerdict& budget : verdict.budgets)
    budgets.push_back({{"budget", BudgetToJson(budget.budget)},
                       {"recall_falls_with_entropy", ToJson(budget.falls)},
                       {"stronger_than_at_next_budget",
                        budget.stronger ? ToJson(*budget.stronger) : Json()},
                       {"study_criterion", ToJson(budget.criterion)}});
  return {{"policy", verdict.policy},
          {"scope", verdict.scope},
          {"budgets", budgets}};
}

Json LaneJson(const RunConfig& config, const LaneAnalysis& lane) {
  Json json = Name(config, lane.lane);
  json["steps"] = lane.steps;
  json["recall"] = ToJson(lane.recall);
  json["fetched_back"] = ToJson(lane.fetched_back);
  json["pearson"] = ToJson(lane.pearson);
  json["spearman"] = ToJson(lane.spearman);
  json["within_pearson"] = ToJson(lane.within_pearson);
  json["within_spearman"] = ToJson(lane.within_spearman);
  json["partial"] = ToJson(lane.partial);
  json["slope"] = ToJson(lane.slope);
  json["bins"] = ToJson(lane.bins);
  json["next_recall"] = ToJson(lane.next_recall);
  json["score"] = ToJson(lane.score);
  json["triggers"] = Json::array();
  for (const TriggerEstimate& trigger : lane.triggers)
    json["triggers"].push_back(
        {{"signal", SignalName(trigger.signal)},
         {"steps", trigger.steps},
         {"events", trigger.events},
         {"roc_area", OrNull(trigger.area.value)},
         {"interval", IntervalToJson(trigger.area.interval)}});
  return json;
}

Json GapJson(const RunConfig& config, const GapAnalysis& gap) {
  return {{"lane", config.gaps[static_cast<size_t>(gap.gap)].ToString()},
          {"kl", ToJson(gap.kl)},
          {"entropy_change", ToJson(gap.entropy_change)},
          {"logprob_change", ToJson(gap.logprob_change)},
          {"entropy_with_kl",
           {{"pearson", ToJson(gap.entropy_with_kl)},
            {"spearman", ToJson(gap.entropy_with_kl_ranks)},
            {"within_pearson", ToJson(gap.within)}}},
          {"kl_by_entropy", ToJson(gap.kl_by_entropy)},
          {"logprob_by_entropy", ToJson(gap.logprob_by_entropy)},
          {"kl_by_recall", ToJson(gap.kl_by_recall)},
          {"logprob_by_recall", ToJson(gap.logprob_by_recall)}};
}

}  // namespace

Json AnalysisToJson(const RunInfo& run, const RunAnalysis& analysis) {
  const RunConfig& config = run.config;
  Json json;
  json["run_id"] = run.run_id;
  json["state"] = RunStateName(run.state);
  json["config"] = ConfigToJson(run.config);
  json["provenance"] = ProvenanceToJson(run.provenance);
  json["samples"] = analysis.samples;
  json["unfinished_samples"] = analysis.unfinished;
  json["steps"] = analysis.steps;
  json["bootstrap"] = {{"resamples", analysis.bootstrap.resamples},
                       {"seed", analysis.bootstrap.seed},
                       {"level", analysis.bootstrap.level}};
  json["tau"] = analysis.tau;
  json["verdict"] = ToJson(analysis.verdict);
  json["warnings"] = analysis.warnings;
  json["lanes"] = Json::array();
  for (const LaneAnalysis& lane : analysis.lanes)
    json["lanes"].push_back(LaneJson(config, lane));
  json["sensitivities"] = Json::array();
  for (const Sensitivity& pair : analysis.sensitivities) {
    const auto lane = [&](int index) {
      return analysis.lanes[static_cast<size_t>(index)].lane;
    };
    Json entry = Name(config, lane(pair.smaller));
    entry.erase("budget");
    entry["smaller"] = Name(config, lane(pair.smaller))["budget"];
    entry["larger"] = Name(config, lane(pair.larger))["budget"];
    entry["difference"] = ToJson(pair.difference);
    json["sensitivities"].push_back(std::move(entry));
  }
  json["next_attention_entropy"] = ToJson(analysis.next_attention_entropy);
  json["gaps"] = Json::array();
  for (const GapAnalysis& gap : analysis.gaps)
    json["gaps"].push_back(GapJson(config, gap));
  json["exemplars"] = Json::array();
  for (const Exemplar& step : analysis.exemplars)
    json["exemplars"].push_back({{"sample", step.sample},
                                 {"step", step.step},
                                 {"entropy", step.entropy},
                                 {"recall", step.recall},
                                 {"before", step.before},
                                 {"token", step.token},
                                 {"after", step.after}});
  return json;
}

}  // namespace kvrecall
