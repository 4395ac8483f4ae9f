#include "server/telemetry/telemetry.h"

#include <algorithm>
#include <utility>

#include "ATen/ATen.h"

#include "common/base/status_macros.h"
#include "server/telemetry/recall.h"
#include "server/telemetry/scope_rows.h"
#include "server/telemetry/selector.h"

namespace kvrecall {

absl::StatusOr<std::unique_ptr<SampleTelemetry>> SampleTelemetry::Create(
    const RunConfig& config, const TelemetryShape& shape,
    const PolicyContext& context) {
  std::unique_ptr<SampleTelemetry> telemetry(
      new SampleTelemetry(config, shape));
  for (const Scope scope : config.scopes) {
    ScopeState state;
    state.scope = scope;
    for (const PolicySpec& spec : config.policies) {
      ASSIGN_OR_RETURN(const PolicySpec complete, CompletePolicySpec(spec));
      ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy,
                       MakePolicy(complete, context));
      state.policies.push_back(std::move(policy));
    }
    telemetry->scopes_.push_back(std::move(state));
  }
  return telemetry;
}

void SampleTelemetry::Begin(const at::Tensor& sums) {
  const int64_t known = sums.size(2);
  for (ScopeState& state : scopes_) {
    state.accumulated =
        at::zeros({ScopeRowCount(state.scope, shape_.layers),
                   shape_.prompt_tokens + shape_.max_new_tokens},
                  sums.options().dtype(at::kDouble));
    state.accumulated.narrow(1, 0, known)
        .copy_(RowsToScope(sums.to(at::kDouble), state.scope));
  }
}

StepRecord SampleTelemetry::Observe(const at::Tensor& rows,
                                    const TokenDistribution& distribution,
                                    int64_t token, double logprob) {
  const int64_t n = rows.size(2);
  StepRecord record;
  record.step = ++step_;
  record.n = n;
  record.token_id = token;
  record.entropy = distribution.entropy;
  record.logprob = logprob;
  record.p_max = distribution.p_max;
  record.margin = distribution.margin;
  const at::Tensor layers = RowsToScope(rows, Scope::kLayer);
  const AttentionEntropy attention = LayerAttentionEntropy(layers);
  record.attention_entropy = attention.mean;
  record.attention_entropy_std = attention.standard_deviation;

  // All that is to be selected, at once: per scope the gold sets, then each
  // policy's that needs sets of its own.
  std::vector<at::Tensor> currents;  // [R, N] of each scope
  std::vector<SelectionJob> jobs;
  for (ScopeState& state : scopes_) {
    currents.push_back(
        state.scope == Scope::kLayer ? layers : RowsToScope(rows, state.scope));
    const at::Tensor& current = currents.back();
    jobs.push_back({{current}, current});
    StepView view;
    view.scope = state.scope;
    view.rows = current.size(0);
    view.step = step_;
    view.positions = n;
    view.accumulated = state.accumulated.narrow(1, 0, n - 1);
    for (const std::unique_ptr<Policy>& policy : state.policies)
      if (!policy->is_gold()) jobs.push_back({policy->Score(view), current});
  }
  const Budgets budgets = BudgetsAt(n);
  const std::vector<RowSets> sets = SelectTop(jobs, budgets.ks);

  const size_t count = budgets.places.size();
  record.recalls.resize(config_.policies.size() * scopes_.size() * count);
  size_t next = 0;
  for (size_t s = 0; s < scopes_.size(); ++s) {
    const RowSets& gold = sets[next++];
    for (size_t p = 0; p < scopes_[s].policies.size(); ++p) {
      const RowSets& held =
          scopes_[s].policies[p]->is_gold() ? gold : sets[next++];
      const std::vector<RecallRecord> recalls =
          CompareSets(gold, held, budgets.ks, n);
      for (size_t b = 0; b < count; ++b)
        record.recalls[(p * scopes_.size() + s) * count + b] =
            recalls[budgets.places[b]];
    }
    AddRows(currents[s], scopes_[s].accumulated);
  }
  return record;
}

SampleTelemetry::Budgets SampleTelemetry::BudgetsAt(int64_t n) const {
  Budgets budgets;
  for (const Budget& budget : config_.budgets)
    budgets.ks.push_back(budget.Positions(n, shape_.prompt_tokens));
  std::vector<int64_t> asked = budgets.ks;
  std::sort(budgets.ks.begin(), budgets.ks.end());
  for (const int64_t k : asked)
    budgets.places.push_back(
        static_cast<size_t>(std::find(budgets.ks.begin(), budgets.ks.end(), k) -
                            budgets.ks.begin()));
  return budgets;
}

}  // namespace kvrecall
