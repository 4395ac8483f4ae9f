#include "client/export/summary_json.h"

#include <string>

#include "client/export/json_values.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

Json SummaryToJson(const RunInfo& run, const RunSummary& summary) {
  const RunConfig& config = summary.config;
  Json json;
  json["run_id"] = run.run_id;
  json["state"] = RunStateName(run.state);
  json["held"] = run.held.empty() ? Json() : Json(run.held);
  json["config"] = ConfigToJson(run.config);
  json["provenance"] = ProvenanceToJson(run.provenance);
  json["last_sequence"] = run.last_sequence;
  json["samples"] = {{"submitted", run.samples_submitted},
                     {"done", summary.samples_done},
                     {"reused", summary.samples_reused},
                     {"failed", summary.samples_failed},
                     {"unfinished", summary.samples_unfinished}};
  json["steps"] = summary.steps;
  json["prompt_tokens"] = summary.prompt_tokens;
  json["generated_tokens"] = summary.generated_tokens;
  json["mean_score"] = OrNull(summary.score);
  json["scored_samples"] = summary.scored_samples;
  json["score_by_length"] = Json::array();
  for (const LengthScore& part : summary.score_by_length) {
    json["score_by_length"].push_back({{"words", part.words},
                                       {"mean_score", OrNull(part.score)},
                                       {"scored_samples", part.samples}});
  }
  json["rows"] = Json::array();
  for (const LaneSummary& row : summary.lanes) {
    const Budget& budget = config.budgets[row.lane.budget];
    Json entry;
    entry["policy"] = config.policies[row.lane.policy].ToString();
    entry["scope"] = std::string(ScopeName(config.scopes[row.lane.scope]));
    entry["budget"] = BudgetToJson(budget);
    entry["n"] = row.steps;
    entry["recall"] = OrNull(row.recall);
    entry["chance"] = OrNull(row.chance);
    entry["lift"] = OrNull(row.lift);
    entry["mass"] = OrNull(row.mass);
    entry["mass_ratio"] = OrNull(row.mass_ratio);
    entry["recall_without_free_hits"] = OrNull(row.recall_without_free_hits);
    entry["drift"] = OrNull(row.drift);
    entry["fetched_back"] = OrNull(row.fetched_back);
    entry["pearson"] = OrNull(row.pearson);
    entry["pearson_n"] = row.pearson_n;
    json["rows"].push_back(std::move(entry));
  }
  json["gaps"] = Json::array();
  for (size_t i = 0; i < summary.gaps.size(); ++i) {
    const GapSummary& gap = summary.gaps[i];
    json["gaps"].push_back({{"lane", config.gaps[i].ToString()},
                            {"n", gap.steps},
                            {"kl", OrNull(gap.kl)},
                            {"entropy_change", OrNull(gap.entropy_change)},
                            {"logprob_change", OrNull(gap.logprob_change)},
                            {"top1_agreement", OrNull(gap.top1_agreement)},
                            {"mean_score", OrNull(gap.score)},
                            {"scored_samples", gap.scored_samples}});
  }
  json["bins_policy"] = config.policies[summary.bins_policy].ToString();
  json["bins_scope"] =
      std::string(ScopeName(config.scopes[summary.bins_scope]));
  json["bins"] = Json::array();
  for (const BinSummary& bin : summary.bins) {
    Json entry;
    entry["low"] = bin.low;
    entry["high"] = OrNull(bin.high);
    entry["steps"] = bin.steps;
    entry["samples"] = bin.samples;
    entry["recall"] = Json::array();
    for (const auto& recall : bin.recall) {
      entry["recall"].push_back(OrNull(recall));
    }
    json["bins"].push_back(std::move(entry));
  }
  json["problems"] = Json::array();
  for (const SampleProblem& problem : summary.problems) {
    json["problems"].push_back({{"sample_id", problem.sample_id},
                                {"reason", problem.reason},
                                {"message", problem.message}});
  }
  return json;
}

}  // namespace kvrecall
