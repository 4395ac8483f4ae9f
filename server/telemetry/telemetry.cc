#include "server/telemetry/telemetry.h"

#include <algorithm>
#include <set>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"
#include "server/huge_pages.h"
#include "server/telemetry/lost_positions.h"
#include "server/telemetry/recall.h"
#include "server/telemetry/scope_rows.h"
#include "server/telemetry/selector_aten.h"

namespace kvrecall {
namespace {

// All of them on the host, in one transfer; to be read when it has been made.
std::vector<at::Tensor> ToHost(std::vector<at::Tensor> tensors,
                               HostCopies& copies) {
  if (tensors.empty() || tensors[0].device().is_cpu()) return tensors;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& t : tensors) flat.push_back(t.flatten());
  const at::Tensor all = copies.Add(at::cat(flat));
  int64_t begin = 0;
  for (at::Tensor& t : tensors) {
    const int64_t size = t.numel();
    t = all.narrow(0, begin, size).view(t.sizes());
    begin += size;
  }
  return tensors;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SampleTelemetry>> SampleTelemetry::Create(
    const RunConfig& config, const TelemetryShape& shape,
    const PolicyContext& context) {
  static_assert(kMaxBudgets <= kMostBudgets);
  if (config.budgets.size() > kMaxBudgets)
    return absl::InvalidArgumentError(
        absl::StrCat(config.budgets.size(), " budgets; at most ", kMaxBudgets));
  RunConfig completed = config;
  ASSIGN_OR_RETURN(completed.gaps, CompleteGaps(config));
  std::unique_ptr<SampleTelemetry> telemetry(
      new SampleTelemetry(std::move(completed), shape));
  RETURN_IF_ERROR(telemetry->AddPolicies(context));
  return telemetry;
}

absl::Status SampleTelemetry::AddPolicies(const PolicyContext& context) {
  for (const PolicySpec& policy : config_.policies)
    RETURN_IF_ERROR(CheckScopes(policy, config_.scopes));
  std::set<int64_t> windows;
  for (const Scope scope : config_.scopes) {
    ScopeState& state = scopes_.emplace_back();
    state.scope = scope;
    for (size_t p = 0; p < config_.policies.size(); ++p) {
      ASSIGN_OR_RETURN(const PolicySpec spec,
                       CompletePolicySpec(config_.policies[p]));
      if (!IsDefinedIn(spec, scope)) continue;
      PolicyState& added = state.policies.emplace_back();
      added.index = static_cast<int>(p);
      ASSIGN_OR_RETURN(added.policy, MakePolicy(spec, context));
      const PolicyNeeds needs = NeedsOf(spec);
      added.row_bytes = needs.row_bytes;
      if (needs.window > 0) windows.insert(needs.window);
      wants_norms_ |= needs.key_norms;
      wants_similarities_ |= needs.key_similarities;
    }
  }
  windows_.assign(windows.begin(), windows.end());
  return absl::OkStatus();
}

// Whether somebody will look at the policy's sets: of scope global, whoever
// reads which positions were lost.
bool SampleTelemetry::IsKept(int policy, Scope scope) const {
  if (shape_.keep_sets || scope == Scope::kGlobal) return true;
  return std::any_of(
      config_.gaps.begin(), config_.gaps.end(), [&](const GapSpec& gap) {
        return gap.kind == GapSpec::Kind::kOnlyPred && gap.scope == scope &&
               gap.policy == config_.policies[static_cast<size_t>(policy)];
      });
}

bool SampleTelemetry::HasMasks(const PolicyState& policy, Scope scope) const {
  return !policy.policy->is_gold() &&
         (policy.policy->irreversible() || IsKept(policy.index, scope));
}

int64_t SampleTelemetry::MostBytes(int64_t kv_heads) const {
  // Of a row at a position: the attention now and before, and the accumulated
  // scores; a window's sums; a mask.
  constexpr int64_t kRows = 4 + 4 + 8, kWindow = 4, kMask = 2;
  // Of a layer and group: a window's sums as the prefill makes them, in float64
  // and then float32; norms; products of keys, and similarities in passing.
  constexpr int64_t kWindowSums = 8 + 4, kNorms = 4, kSimilarities = 12;
  const int64_t windows = std::ssize(windows_);
  int64_t bytes = 0;  // at one position
  for (const ScopeState& state : scopes_) {
    int64_t of_row = kRows + 2 * kMask;
    // Those of scope head are the prefill's own.
    if (state.scope != Scope::kHead) of_row += kWindow * windows;
    for (const PolicyState& policy : state.policies)
      of_row += policy.row_bytes + (HasMasks(policy, state.scope) ? kMask : 0);
    bytes += of_row * ScopeRowCount(state.scope, shape_.layers, kv_heads);
  }
  const int64_t groups = shape_.layers * kv_heads;
  bytes += kWindowSums * windows * groups;
  if (wants_norms_ || wants_similarities_) bytes += kNorms * groups;
  if (wants_similarities_) bytes += kSimilarities * groups;
  return bytes * (shape_.prompt_tokens + shape_.max_new_tokens);
}

void SampleTelemetry::Begin(const PrefillObservation& prefill,
                            const Sequence& sequence) {
  const int64_t known = prefill.sums.size(2);
  const int64_t capacity = shape_.prompt_tokens + shape_.max_new_tokens;
  const at::Device device = prefill.sums.device();
  kv_heads_ = prefill.sums.size(1);
  // What every step goes through, in memory of its own. The same tensors are
  // asked for and taken.
  SharedHugePages memory;
  const auto for_state = [&](auto of_tensor) {
    for (ScopeState& state : scopes_) {
      const std::vector<int64_t> shape = {
          ScopeRowCount(state.scope, shape_.layers, kv_heads_), capacity};
      of_tensor(state.accumulated, shape, at::kDouble);
      of_tensor(state.gold, shape, at::kShort);
      of_tensor(state.previous_gold, shape, at::kShort);
      for (PolicyState& policy : state.policies)
        if (HasMasks(policy, state.scope))
          of_tensor(policy.held, shape, at::kShort);
    }
  };
  for_state([&](at::Tensor&, const std::vector<int64_t>& shape,
                at::ScalarType dtype) { memory.Add(shape, dtype); });
  for_state([&](at::Tensor& tensor, const std::vector<int64_t>& shape,
                at::ScalarType dtype) {
    tensor = memory.Take(shape, dtype, device);
  });
  for (ScopeState& state : scopes_) {
    state.accumulated.narrow(1, 0, known)
        .copy_(RowsToScope(prefill.sums.to(at::kDouble), state.scope));
    state.previous_row = RowsToScope(prefill.last_row, state.scope);
    for (size_t i = 0; i < windows_.size(); ++i)
      state.window_sums[windows_[i]] =
          RowsToScope(prefill.window_sums[i], state.scope);
  }
  if (wants_norms_ || wants_similarities_) keys_.emplace(sequence, capacity);
}

StepRecord SampleTelemetry::Observe(const at::Tensor& rows,
                                    const TokenDistribution& distribution,
                                    int64_t token, double logprob) {
  Queue(rows, distribution, token, logprob);
  return Take();
}

void SampleTelemetry::Queue(const at::Tensor& rows,
                            const TokenDistribution& distribution,
                            int64_t token, double logprob) {
  const int64_t n = rows.size(2);
  queued_ = {};
  StepRecord& record = queued_.record;
  record.step = ++step_;
  record.n = positions_ = n;
  record.token_id = token;
  record.entropy = distribution.entropy;
  record.logprob = logprob;
  record.p_max = distribution.p_max;
  record.margin = distribution.margin;

  previous_ks_ = std::exchange(ks_, {});
  for (const Budget& budget : config_.budgets)
    ks_.push_back(budget.Positions(n, shape_.prompt_tokens));
  // [R, N] of each of the run's scopes, and the layers' for their entropies.
  std::vector<Scope> scopes = config_.scopes;
  const auto layer = std::find(scopes.begin(), scopes.end(), Scope::kLayer);
  const auto layer_at = static_cast<size_t>(layer - scopes.begin());
  if (layer == scopes.end()) scopes.push_back(Scope::kLayer);
  const std::vector<at::Tensor> currents = RowsToScopes(rows, scopes);
  QueueFigures(std::span(currents).first(scopes_.size()),
               LayerEntropies(currents[layer_at]), n);

  std::vector<RowsAndSums> grown;
  for (size_t s = 0; s < scopes_.size(); ++s) {
    grown.push_back({currents[s], scopes_[s].accumulated});
    scopes_[s].previous_row = currents[s];
  }
  AddRows(grown);
  if (keys_) keys_->TakeIn(n);
  previous_entropy_ = distribution.entropy;
}

StepRecord SampleTelemetry::Take() {
  copies_.Wait();
  StepRecord record = std::move(queued_.record);
  const AttentionEntropy attention = MeanEntropy(queued_.entropies);
  record.attention_entropy = attention.mean;
  record.attention_entropy_std = attention.standard_deviation;
  FillRecalls(record);
  if (queued_.lost_weights.defined()) FillLost(record);
  queued_ = {};
  return record;
}

StepView SampleTelemetry::ViewOf(const ScopeState& state, int64_t n) const {
  StepView view;
  view.scope = state.scope;
  view.layers = shape_.layers;
  view.rows = state.accumulated.size(0);
  view.step = step_;
  view.positions = n;
  view.prompt_tokens = shape_.prompt_tokens;
  view.ks = ks_;
  view.previous_entropy = previous_entropy_;
  view.accumulated = state.accumulated.narrow(1, 0, n - 1);
  view.previous_row = state.previous_row;
  view.window_sums = &state.window_sums;
  return view;
}

SetJob SampleTelemetry::GoldJob(const ScopeState& state,
                                const at::Tensor& row) const {
  SetJob job;
  job.scores = {row, {0}, row};
  job.budgets = static_cast<int>(ks_.size());
  job.ks = ks_;
  job.weights = row;
  job.other = state.previous_gold;
  job.held = state.gold;
  return job;
}

SetJob SampleTelemetry::PolicyJob(const ScopeState& state,
                                  const PolicyState& policy,
                                  const StepView& view,
                                  const at::Tensor& row) const {
  SetJob job;
  job.scores = policy.policy->Score(view);
  job.budgets = static_cast<int>(ks_.size());
  job.ks = policy.policy->Sizes(view);
  job.weights = row;
  job.other = state.gold;
  job.held = policy.held;
  if (policy.policy->irreversible()) {
    if (!policy.policy->TakesAnew(view)) job.had = policy.had;
    job.count_fetched = job.had.empty() && view.step > 1;
  }
  return job;
}

// Gold comes first: everything else is compared with it. All figures, the
// layers' attention entropies among them, come to the host at once.
void SampleTelemetry::QueueFigures(std::span<const at::Tensor> rows,
                                   const at::Tensor& entropies, int64_t n) {
  std::vector<SetJob> jobs, of_policies;
  at::Tensor norms, similarities;
  if (wants_norms_) norms = keys_->norms();
  if (wants_similarities_) similarities = keys_->Similarities();
  for (size_t s = 0; s < scopes_.size(); ++s) {
    ScopeState& state = scopes_[s];
    std::swap(state.gold, state.previous_gold);
    jobs.push_back(GoldJob(state, rows[s]));
    StepView view = ViewOf(state, n);
    view.key_norms = norms;
    view.key_similarities = similarities;
    for (PolicyState& policy : state.policies) {
      if (policy.policy->is_gold()) continue;
      of_policies.push_back(PolicyJob(state, policy, view, rows[s]));
      policy.had = ks_;
    }
  }
  std::move(of_policies.begin(), of_policies.end(), std::back_inserter(jobs));
  std::vector<at::Tensor> figures = FormSets(jobs);
  figures.push_back(entropies);
  figures = ToHost(std::move(figures), copies_);
  queued_.entropies = figures.back();
  figures.pop_back();
  queued_.figures = std::move(figures);
  for (size_t s = 0; s < scopes_.size(); ++s)
    if (scopes_[s].scope == Scope::kGlobal) QueueLost(scopes_[s], rows[s]);
}

// Of scope global, whose one row says where the model as a whole looked.
void SampleTelemetry::QueueLost(const ScopeState& state,
                                const at::Tensor& row) {
  const int64_t n = row.size(1);
  std::vector<at::Tensor> masks = {state.gold.narrow(1, 0, n)};
  for (const PolicyState& policy : state.policies) {
    if (policy.policy->is_gold()) continue;
    masks.push_back(policy.held.narrow(1, 0, n));
    queued_.lost_policies.push_back(policy.index);
  }
  queued_.lost_masks = ToHost(std::move(masks), copies_);
  queued_.lost_weights = copies_.Add(row.contiguous());
}

void SampleTelemetry::FillRecalls(StepRecord& record) const {
  record.recalls.resize(lanes_.size());
  size_t next = scopes_.size();
  for (size_t s = 0; s < scopes_.size(); ++s) {
    const GoldSets gold = {
        queued_.figures[s], ks_, previous_ks_, positions_,
        scopes_[s].scope == Scope::kGlobal ? 0 : shape_.layers};
    for (const PolicyState& policy : scopes_[s].policies) {
      std::vector<RecallRecord> recalls =
          policy.policy->is_gold() ? MakeOracleRecalls(gold)
                                   : MakeRecalls(gold, queued_.figures[next++],
                                                 policy.policy->irreversible());
      std::move(
          recalls.begin(), recalls.end(),
          record.recalls.begin() + FirstLane(policy.index, scopes_[s].scope));
    }
  }
}

void SampleTelemetry::FillLost(StepRecord& record) const {
  const auto span = [&](const at::Tensor& t) {
    return std::span(t.data_ptr<int16_t>(), static_cast<size_t>(positions_));
  };
  for (size_t i = 0; i < queued_.lost_policies.size(); ++i) {
    std::vector<std::vector<LostPosition>> lost =
        FindLost(span(queued_.lost_masks[0]), span(queued_.lost_masks[i + 1]),
                 {queued_.lost_weights.data_ptr<float>(),
                  static_cast<size_t>(positions_)},
                 static_cast<int>(ks_.size()));
    const int first = FirstLane(queued_.lost_policies[i], Scope::kGlobal);
    for (size_t b = 0; b < lost.size(); ++b)
      record.recalls[static_cast<size_t>(first) + b].lost = std::move(lost[b]);
  }
}

// Of the first budget; the others follow.
int SampleTelemetry::FirstLane(int policy, Scope scope) const {
  const auto lane =
      std::find_if(lanes_.begin(), lanes_.end(), [&](const Lane& l) {
        return l.policy == policy &&
               config_.scopes[static_cast<size_t>(l.scope)] == scope;
      });
  return static_cast<int>(lane - lanes_.begin());
}

const SampleTelemetry::ScopeState& SampleTelemetry::StateOf(Scope scope) const {
  return *std::find_if(
      scopes_.begin(), scopes_.end(),
      [&](const ScopeState& state) { return state.scope == scope; });
}

at::Tensor SampleTelemetry::HeldBy(const ScopeState& state, int policy,
                                   int budget) const {
  at::Tensor masks = state.gold;
  for (const PolicyState& candidate : state.policies)
    if (candidate.index == policy && !candidate.policy->is_gold())
      masks = candidate.held;
  return masks.narrow(1, 0, positions_).bitwise_and(MaskBit(budget)).ne(0);
}

at::Tensor SampleTelemetry::Held(int lane) const {
  const Lane& asked = lanes_[static_cast<size_t>(lane)];
  return HeldBy(scopes_[static_cast<size_t>(asked.scope)], asked.policy,
                asked.budget);
}

std::vector<at::Tensor> SampleTelemetry::GapMasks() const {
  const auto index = [](const auto& list, const auto& value) {
    return static_cast<int>(std::find(list.begin(), list.end(), value) -
                            list.begin());
  };
  std::vector<at::Tensor> masks;
  for (const GapSpec& gap : config_.gaps) {
    const int budget = index(config_.budgets, gap.budget);
    const ScopeState& state = StateOf(gap.scope);
    const bool without_gold = gap.kind == GapSpec::Kind::kWithoutGold;
    const at::Tensor held =
        HeldBy(state, without_gold ? -1 : index(config_.policies, gap.policy),
               budget)
            .narrow(1, 0, positions_ - 1);
    masks.push_back((without_gold ? ~held : held).to(at::kByte).contiguous());
  }
  return masks;
}

}  // namespace kvrecall
