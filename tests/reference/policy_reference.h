#pragma once

// Every eviction policy the slow, obvious way: sets of positions of one row of
// a scope, straight from the definitions. Linked into tests only.

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "common/record/budget.h"
#include "common/record/policy_spec.h"

namespace kvrecall {

// One row of a scope over a whole text.
struct RowHistory {
  int64_t prompt = 1;  // P
  // [query][position ≤ query]: the row of every query up to the last step's.
  std::vector<std::vector<double>> attention;
  // [query][position < query]: what all queries before gave each position.
  std::vector<std::vector<double>> accumulated;
  std::vector<double> entropies;  // H_1, H_2, …
  // [member][position][dimension]: the keys of each (layer, group) that the
  // row is the mean of.
  std::vector<std::vector<std::vector<double>>> keys;
};

// `accumulated` of `attention`.
std::vector<std::vector<double>> AccumulateSlowly(
    const std::vector<std::vector<double>>& attention);

// Where the row stands, and whose text it is.
struct RowPlace {
  int64_t row = 0;  // in the scope
  int64_t layer = 0;
  int64_t layers = 1;
  uint64_t sample_key = 0;
};

struct Holding {
  std::set<int64_t> positions;
  int64_t fetched_back = 0;  // positions that a trigger took back
};

// The `count` best positions: higher score first, then lower position.
std::set<int64_t> BestPositions(const std::vector<double>& scores,
                                int64_t count);

// K at a step that attends `positions` positions.
int64_t BudgetSlowly(const Budget& budget, int64_t positions, int64_t prompt);

// PyramidKV's K of every layer, for a step's K; their sum is layers × K.
std::vector<int64_t> PyramidBudgetsSlowly(int64_t k, int64_t window,
                                          int64_t prompt, int64_t layers);

// The score of every position < `query` by "knorm" or "keydiff".
std::vector<double> KeyScoresSlowly(const std::string& policy,
                                    const RowHistory& history, int64_t query);

// What the row holds at `step`, after `before` at the step before it. Only an
// irreversible policy looks at `before`, and not at step 1. `spec` has all its
// parameters.
Holding HeldNext(const PolicySpec& spec, const Budget& budget,
                 const RowHistory& history, const RowPlace& place, int64_t step,
                 const std::set<int64_t>& before);

// The same, replayed from step 1 where the policy is irreversible.
Holding HeldSlowly(const PolicySpec& spec, const Budget& budget,
                   const RowHistory& history, const RowPlace& place,
                   int64_t step);

// Whether exactly the positions of `expected` are true among `positions` flags.
bool AreExactly(const bool* held, int64_t positions,
                const std::set<int64_t>& expected);

}  // namespace kvrecall
