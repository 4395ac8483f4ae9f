#pragma once

// What the page needs to show generated texts token by token: entropy as
// colour, recall below a threshold as a line below, and on pointing at a token
// its numbers and the tokens that a policy lost. Not thread-safe.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

#include "common/longbench/jsonl.h"
#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

class TokenMap {
 public:
  // Of the policies in scope `scope`, an index into config.scopes.
  TokenMap(const RunConfig& config, int scope);

  // A sample to be shown, in this order, before its events. Question and
  // answers are shown as far as they are short.
  void AddSample(const Sample& sample);

  // Events of attempts that do not count, and of samples that are not shown,
  // are ignored; those that do count come in their order.
  void Add(const Event& event, int64_t attempt);

  // {policies, budgets, samples: [{id, question, answers, score, …, steps}]};
  // of a step [token, n, entropy, p, p_max, margin, recalls, lost], where
  // recalls has a number for each policy and budget, and lost a list for each,
  // of positions and weights by turns. A sample's `texts` has the tokens of
  // such positions. Numbers are rounded to what is shown.
  nlohmann::ordered_json ToJson() const;

 private:
  struct Shown {
    Sample sample;
    SampleStart start;
    std::string state = "unfinished";
    nlohmann::ordered_json score, reason;
    nlohmann::ordered_json steps = nlohmann::ordered_json::array();
    std::map<int64_t, std::string> texts;  // by position
  };

  nlohmann::ordered_json StepJson(const StepRecord& step,
                                  std::map<int64_t, std::string>& texts) const;

  std::vector<std::string> policies_;  // in the scope
  std::vector<std::string> budgets_;
  std::vector<int> lanes_;  // by policy, then budget
  std::vector<Shown> samples_;
  std::map<std::string, size_t> by_id_;
};

}  // namespace kvrecall
