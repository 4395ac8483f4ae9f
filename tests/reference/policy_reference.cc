#include "tests/reference/policy_reference.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <stdexcept>

namespace kvrecall {
namespace {

using Positions = std::set<int64_t>;

struct Scored {
  int64_t position = 0;
  double score = 0;
};

// The order everywhere: higher score first, then lower position.
bool Before(const Scored& a, const Scored& b) {
  return a.score != b.score ? a.score > b.score : a.position < b.position;
}

Positions Best(std::vector<Scored> candidates, int64_t count) {
  std::sort(candidates.begin(), candidates.end(), Before);
  Positions best;
  for (const Scored& candidate : candidates)
    if (static_cast<int64_t>(best.size()) < count)
      best.insert(candidate.position);
  return best;
}

// One row at one step.
struct Moment {
  const RowHistory& history;
  int64_t step = 1;
  int64_t query = 0;  // q_t
  int64_t k = 1;      // K

  double accumulated(int64_t position) const {
    return history.accumulated[query][position];
  }
};

// The last `count` positions, the query's own among them.
Positions Last(const Moment& now, int64_t count) {
  Positions last;
  for (int64_t j = now.query - count + 1; j <= now.query; ++j) last.insert(j);
  return last;
}

Positions With(Positions some, const Positions& others) {
  some.insert(others.begin(), others.end());
  return some;
}

// S_t of the positions before `end`.
std::vector<Scored> AccumulatedBefore(const Moment& now, int64_t end) {
  std::vector<Scored> scored;
  for (int64_t j = 0; j < end; ++j) scored.push_back({j, now.accumulated(j)});
  return scored;
}

Positions H2o(const Moment& now, bool self) {
  std::vector<Scored> past = AccumulatedBefore(now, now.query);
  if (self) return With({now.query}, Best(past, now.k - 1));
  past.push_back({now.query, 0.0});
  return Best(past, now.k);
}

Positions H2oWindow(const Moment& now, int64_t window) {
  if (now.k <= window) return Last(now, now.k);
  return With(
      Last(now, window),
      Best(AccumulatedBefore(now, now.query - window + 1), now.k - window));
}

Positions H2oMean(const Moment& now) {
  std::vector<Scored> past;
  for (int64_t j = 0; j < now.query; ++j)
    past.push_back(
        {j, now.accumulated(j) / static_cast<double>(now.query - j)});
  return With({now.query}, Best(past, now.k - 1));
}

Positions H2oEvictAnew(const Moment& now) {
  const int64_t heavy = now.k / 2, recent = now.k - heavy;
  return With(Last(now, recent),
              Best(AccumulatedBefore(now, now.query - recent + 1), heavy));
}

Positions H2oEvict(const Moment& now, const Positions& before) {
  const int64_t heavy = now.k / 2, recent = now.k - heavy;
  Positions held = With(before, {now.query});
  while (static_cast<int64_t>(held.size()) > now.k) {
    std::vector<Scored> older;
    for (const int64_t j : held)
      if (j < now.query - recent + 1) older.push_back({j, now.accumulated(j)});
    held.erase(std::max_element(older.begin(), older.end(), Before)->position);
  }
  return held;
}

Positions Streaming(const Moment& now, int64_t sinks) {
  Positions held = {now.query};
  const auto wanting = [&] {
    return static_cast<int64_t>(held.size()) < now.k;
  };
  for (int64_t j = 0; j < sinks && wanting(); ++j) held.insert(j);
  for (int64_t j = now.query - 1; wanting(); --j) held.insert(j);
  return held;
}

// The attention that the window's queries before the step's own gave to the
// prompt positions before the window, pooled over these positions alone.
std::vector<Scored> PooledScores(const Moment& now, int64_t window,
                                 int64_t kernel) {
  const int64_t prompt = now.history.prompt, end = prompt - window;
  std::vector<double> sums;
  for (int64_t j = 0; j < end; ++j) {
    sums.push_back(0);
    for (int64_t i = prompt - window; i < prompt; ++i)
      if (i < now.query) sums[j] += now.history.attention[i][j];
  }
  std::vector<Scored> pooled;
  for (int64_t j = 0; j < end; ++j) {
    pooled.push_back({j, sums[j]});
    for (int64_t i = j - kernel / 2; i <= j + kernel / 2; ++i)
      if (i >= 0 && i < end)
        pooled[j].score = std::max(pooled[j].score, sums[i]);
  }
  return pooled;
}

Positions SnapKv(const Moment& now, int64_t window, int64_t kernel) {
  const int64_t first_forced =
      std::max<int64_t>(now.history.prompt - window, 0);
  const int64_t forced = now.query - first_forced + 1;
  if (forced >= now.k) return Last(now, now.k);
  return With(Last(now, forced),
              Best(PooledScores(now, window, kernel), now.k - forced));
}

Positions Tova(const Moment& now, const Positions& candidates) {
  std::vector<Scored> past;
  for (const int64_t j : candidates)
    if (j != now.query)
      past.push_back({j, now.history.attention[now.query - 1][j]});
  return With({now.query}, Best(past, now.k - 1));
}

double Norm(const std::vector<double>& vector) {
  double squares = 0;
  for (const double x : vector) squares += x * x;
  return std::sqrt(squares);
}

// 0 where one of them has no direction.
double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double product = 0;
  for (size_t d = 0; d < a.size(); ++d) product += a[d] * b[d];
  const double norms = Norm(a) * Norm(b);
  return norms == 0 ? 0 : product / norms;
}

// Of the keys of positions < `query`.
std::vector<double> SumOfNormalised(
    const std::vector<std::vector<double>>& keys, int64_t query) {
  std::vector<double> sum(keys[0].size(), 0.0);
  for (int64_t j = 0; j < query; ++j) {
    const double norm = Norm(keys[j]);
    for (size_t d = 0; d < sum.size(); ++d)
      if (norm > 0) sum[d] += keys[j][d] / norm;
  }
  return sum;
}

Positions ByKeys(const Moment& now, const std::string& policy) {
  const std::vector<double> scores =
      KeyScoresSlowly(policy, now.history, now.query);
  std::vector<Scored> past;
  for (int64_t j = 0; j < now.query; ++j) past.push_back({j, scores[j]});
  return With({now.query}, Best(past, now.k - 1));
}

uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

Positions Random(const Moment& now, uint64_t seed, const RowPlace& place) {
  uint64_t row = SplitMix64(SplitMix64(seed) ^ place.sample_key);
  row = SplitMix64(row ^ static_cast<uint64_t>(place.row));
  std::vector<Scored> past;
  for (int64_t j = 0; j < now.query; ++j)
    past.push_back({j, static_cast<double>(
                           SplitMix64(row ^ static_cast<uint64_t>(j)) >> 11)});
  return With({now.query}, Best(past, now.k - 1));
}

bool Fires(const TriggerSpec& trigger, const RowHistory& history, int64_t step,
           uint64_t sample_key) {
  if (step == 1) return false;
  if (trigger.name == "entropy")
    return history.entropies[step - 2] > trigger.value;
  if (trigger.name == "periodic")
    return (step - 1) % static_cast<int64_t>(trigger.value) == 0;
  if (trigger.name != "random") throw std::invalid_argument(trigger.name);
  const uint64_t state =
      SplitMix64(SplitMix64(SplitMix64(0x74726967676572) ^ sample_key) ^
                 static_cast<uint64_t>(step));
  return static_cast<double>(state >> 11) < trigger.value * 9007199254740992.0;
}

bool IsIrreversible(const PolicySpec& spec) {
  return spec.name == "h2o_evict" || spec.name == "tova";
}

// Of an irreversible policy that takes its set from all positions.
Positions Anew(const PolicySpec& spec, const Moment& now) {
  return spec.name == "tova" ? Tova(now, Last(now, now.query + 1))
                             : H2oEvictAnew(now);
}

Holding Irreversible(const PolicySpec& spec, const Moment& now,
                     const RowPlace& place, const Positions& before) {
  if (now.step == 1) return {Anew(spec, now), 0};
  if (!spec.trigger ||
      !Fires(*spec.trigger, now.history, now.step, place.sample_key)) {
    if (spec.name == "tova") return {Tova(now, With(before, {now.query})), 0};
    return {H2oEvict(now, before), 0};
  }
  Holding holding = {Anew(spec, now), 0};
  for (const int64_t j : holding.positions)
    holding.fetched_back += !before.contains(j) && j != now.query;
  return holding;
}

Positions Reversible(const PolicySpec& spec, const Moment& now,
                     const RowPlace& place) {
  const auto parameter = [&](const char* name) {
    return static_cast<int64_t>(spec.parameters.at(name));
  };
  if (spec.name == "h2o") return H2o(now, parameter("self") == 1);
  if (spec.name == "h2o_window") return H2oWindow(now, parameter("w"));
  if (spec.name == "h2o_mean") return H2oMean(now);
  if (spec.name == "streaming") return Streaming(now, parameter("sinks"));
  if (spec.name == "snapkv")
    return SnapKv(now, parameter("w"), parameter("kernel"));
  if (spec.name == "pyramidkv") {
    Moment layer = now;
    layer.k = PyramidBudgetsSlowly(now.k, parameter("w"), now.history.prompt,
                                   place.layers)[place.layer];
    return SnapKv(layer, parameter("w"), parameter("kernel"));
  }
  if (spec.name == "knorm" || spec.name == "keydiff")
    return ByKeys(now, spec.name);
  if (spec.name == "random")
    return Random(now, static_cast<uint64_t>(parameter("seed")), place);
  if (spec.name == "oracle")
    return BestPositions(now.history.attention[now.query], now.k);
  throw std::invalid_argument(spec.name);
}

}  // namespace

std::vector<std::vector<double>> AccumulateSlowly(
    const std::vector<std::vector<double>>& attention) {
  std::vector<std::vector<double>> accumulated(1);
  for (const std::vector<double>& row : attention) {
    std::vector<double> sums = accumulated.back();
    sums.push_back(0);
    for (size_t j = 0; j < sums.size(); ++j) sums[j] += row[j];
    accumulated.push_back(sums);
  }
  return accumulated;
}

std::set<int64_t> BestPositions(const std::vector<double>& scores,
                                int64_t count) {
  std::vector<Scored> candidates;
  for (const double score : scores)
    candidates.push_back({static_cast<int64_t>(candidates.size()), score});
  return Best(candidates, count);
}

int64_t BudgetSlowly(const Budget& budget, int64_t positions, int64_t prompt) {
  double k = budget.value;
  if (budget.kind == Budget::Kind::kCurrentRatio)
    k = std::floor(budget.value * static_cast<double>(positions));
  if (budget.kind == Budget::Kind::kPromptRatio)
    k = std::floor(budget.value * static_cast<double>(prompt));
  return std::min(std::max<int64_t>(1, static_cast<int64_t>(k)), positions);
}

std::vector<int64_t> PyramidBudgetsSlowly(int64_t k, int64_t window,
                                          int64_t prompt, int64_t layers) {
  std::vector<int64_t> budgets(layers, k);
  if (k <= window || layers == 1 || k >= prompt) return budgets;
  int64_t least = (k - window) / 20;
  int64_t most = 2 * (k - window) - least;
  if (most >= prompt - window) {
    most = prompt - window;
    least = 2 * (k - window) - most;
  }
  const int64_t fall = (most - least) / (layers - 1);
  int64_t total = 0;
  for (int64_t l = 0; l < layers; ++l) {
    budgets[l] = most - l * fall + window;
    total += budgets[l];
  }
  for (int64_t l = 0; total > layers * k; l = (l + 1) % layers, --total)
    --budgets[l];
  return budgets;
}

std::vector<double> KeyScoresSlowly(const std::string& policy,
                                    const RowHistory& history, int64_t query) {
  std::vector<double> scores(query, 0.0);
  for (const auto& keys : history.keys) {
    const std::vector<double> sum = SumOfNormalised(keys, query);
    for (int64_t j = 0; j < query; ++j)
      scores[j] -= policy == "knorm" ? Norm(keys[j]) : Cosine(keys[j], sum);
  }
  for (double& score : scores)
    score /= static_cast<double>(history.keys.size());
  return scores;
}

Holding HeldNext(const PolicySpec& spec, const Budget& budget,
                 const RowHistory& history, const RowPlace& place, int64_t step,
                 const std::set<int64_t>& before) {
  const int64_t query = history.prompt - 2 + step;
  const Moment now = {history, step, query,
                      BudgetSlowly(budget, query + 1, history.prompt)};
  if (IsIrreversible(spec)) return Irreversible(spec, now, place, before);
  return {Reversible(spec, now, place), 0};
}

Holding HeldSlowly(const PolicySpec& spec, const Budget& budget,
                   const RowHistory& history, const RowPlace& place,
                   int64_t step) {
  Holding held;
  for (int64_t t = IsIrreversible(spec) ? 1 : step; t <= step; ++t)
    held = HeldNext(spec, budget, history, place, t, held.positions);
  return held;
}

bool AreExactly(const bool* held, int64_t positions,
                const std::set<int64_t>& expected) {
  for (int64_t j = 0; j < positions; ++j)
    if (held[j] != expected.contains(j)) return false;
  return true;
}

}  // namespace kvrecall
