#include "tests/server/telemetry/telemetry_testing.h"

#include <algorithm>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gtest/gtest.h>

#include "common/record/policy_catalog.h"
#include "tests/reference/policy_reference.h"

namespace kvrecall {
namespace {

at::Tensor KeysOf(const TextHistory& text) {
  if (text.keys.empty())
    return at::zeros({text.layers, text.groups, text.positions(), 1});
  const int64_t dimensions = static_cast<int64_t>(text.keys[0][0][0].size());
  at::Tensor keys =
      at::empty({text.layers, text.groups, text.positions(), dimensions});
  float* out = keys.data_ptr<float>();
  for (const auto& layer : text.keys)
    for (const auto& group : layer)
      for (const auto& key : group)
        for (const double x : key) *out++ = static_cast<float>(x);
  return keys;
}

// The sum of the rows of queries first … last − 1, over `positions` positions.
at::Tensor SumOfRows(const TextHistory& text, int64_t first, int64_t last,
                     int64_t positions) {
  at::Tensor sums = at::zeros({text.layers, text.groups, positions});
  float* row = sums.data_ptr<float>();
  for (const auto& layer : text.attention)
    for (const auto& group : layer) {
      for (int64_t q = std::max<int64_t>(first, 0); q < last; ++q)
        for (int64_t j = 0; j <= q; ++j)
          row[j] += static_cast<float>(group[q][j]);
      row += positions;
    }
  return sums;
}

// The rows of a scope, and where they stand.
struct ScopeTwins {
  std::vector<RowHistory> rows;
  std::vector<RowPlace> places;
};

// `held` [R, N_t] of a lane beside its twins.
void CompareLane(const PolicySpec& spec, const Budget& budget,
                 const ScopeTwins& twins, int64_t step,
                 const at::Tensor& held) {
  const int64_t n = twins.rows[0].prompt - 1 + step;
  ASSERT_EQ(held.sizes(),
            at::IntArrayRef({static_cast<int64_t>(twins.rows.size()), n}));
  const bool* flags = held.data_ptr<bool>();
  for (size_t r = 0; r < twins.rows.size(); ++r, flags += n) {
    const Holding twin =
        HeldSlowly(spec, budget, twins.rows[r], twins.places[r], step);
    ASSERT_TRUE(AreExactly(flags, n, twin.positions))
        << spec.ToString() << ", " << budget.ToString() << ", P "
        << twins.rows[r].prompt << ", step " << step << ", row " << r << " of "
        << twins.rows.size() << ": held " << Show(flags, n) << " instead of "
        << Show(twin.positions);
  }
}

}  // namespace

RunConfig PoliciesConfig(const std::string& policies,
                         const std::string& budgets,
                         std::vector<Scope> scopes) {
  RunConfig config;
  const std::vector<PolicySpec> specs = ParsePolicyList(policies).value();
  for (const PolicySpec& spec : specs)
    config.policies.push_back(CompletePolicySpec(spec).value());
  config.budgets = ParseBudgets(budgets).value();
  config.scopes = std::move(scopes);
  return config;
}

FakeSequence::FakeSequence(const TextHistory& text) : keys_(KeysOf(text)) {}

at::Tensor FakeSequence::Keys(int64_t first, int64_t count) const {
  EXPECT_LE(first + count, length_) << "keys that are not held yet";
  return keys_.narrow(2, first, count);
}

at::Tensor FakeSequence::KeyProducts(const at::Tensor& directions,
                                     int64_t positions) const {
  return (Keys(0, positions) * directions.unsqueeze(2)).sum(-1);
}

PrefillObservation PrefillOf(const TextHistory& text,
                             std::span<const int64_t> windows) {
  const int64_t queries = text.prompt - 1;
  PrefillObservation seen;
  seen.sums = SumOfRows(text, 0, queries, queries);
  seen.last_row = SumOfRows(text, queries - 1, queries, queries);
  for (const int64_t w : windows)
    seen.window_sums.push_back(
        SumOfRows(text, queries - (w - 1), queries, queries));
  return seen;
}

at::Tensor RowsOf(const TextHistory& text, int64_t step) {
  const int64_t query = text.prompt - 2 + step;
  return SumOfRows(text, query, query + 1, query + 1);
}

TelemetryRun::TelemetryRun(const RunConfig& config, const TextHistory& text,
                           uint64_t sample_key)
    : text_(text), sequence_(text) {
  TelemetryShape shape;
  shape.layers = text.layers;
  shape.prompt_tokens = text.prompt;
  shape.max_new_tokens = text.steps();
  shape.keep_sets = true;
  telemetry_ = SampleTelemetry::Create(config, shape, {sample_key}).value();
  sequence_.set_length(text.prompt - 1);
  telemetry_->Begin(PrefillOf(text, telemetry_->windows()), sequence_);
}

StepRecord TelemetryRun::Next() {
  ++step_;
  sequence_.set_length(text_.prompt - 1 + step_);
  TokenDistribution distribution;
  distribution.entropy = text_.entropies[step_ - 1];
  return telemetry_->Observe(RowsOf(text_, step_), distribution, /*token=*/0,
                             /*logprob=*/0);
}

at::Tensor TelemetryRun::Held(size_t lane) const {
  return telemetry_->Held(static_cast<int>(lane)).contiguous();
}

void CompareWithTwins(const RunConfig& config, const TextHistory& text,
                      uint64_t sample_key) {
  std::vector<ScopeTwins> twins;
  for (const Scope scope : config.scopes)
    twins.push_back(
        {ScopeRowsSlowly(text, scope), PlacesSlowly(text, scope, sample_key)});
  const std::vector<Lane> lanes = Lanes(config);
  TelemetryRun run(config, text, sample_key);
  while (run.step() < text.steps()) {
    run.Next();
    for (size_t i = 0; i < lanes.size(); ++i)
      ASSERT_NO_FATAL_FAILURE(CompareLane(
          config.policies[lanes[i].policy], config.budgets[lanes[i].budget],
          twins[lanes[i].scope], run.step(), run.Held(i)));
  }
}

std::string Show(const std::set<int64_t>& positions) {
  return absl::StrCat("{", absl::StrJoin(positions, ", "), "}");
}

std::string Show(const bool* held, int64_t positions) {
  std::set<int64_t> set;
  for (int64_t j = 0; j < positions; ++j)
    if (held[j]) set.insert(j);
  return Show(set);
}

}  // namespace kvrecall
