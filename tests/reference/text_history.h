#pragma once

// The attention and the keys of one text, invented, and the rows that a scope
// makes of them. Linked into tests only.

#include <cstdint>
#include <vector>

#include "common/record/scope.h"
#include "tests/reference/policy_reference.h"

namespace kvrecall {

struct TextHistory {
  int64_t layers = 1;
  int64_t groups = 1;
  int64_t prompt = 1;  // P
  // [layer][group][query][position ≤ query], for every query: the last one is
  // the last step's.
  std::vector<std::vector<std::vector<std::vector<double>>>> attention;
  // [layer][group][position][dimension].
  std::vector<std::vector<std::vector<std::vector<double>>>> keys;
  std::vector<double> entropies;  // H_1, H_2, … of every step

  int64_t positions() const {
    return static_cast<int64_t>(attention[0][0].size());
  }
  int64_t steps() const { return positions() - prompt + 1; }
};

// The scope's rows: means over their layers and groups.
std::vector<RowHistory> ScopeRowsSlowly(const TextHistory& text, Scope scope);

// Where each of them stands, in the same order.
std::vector<RowPlace> PlacesSlowly(const TextHistory& text, Scope scope,
                                   uint64_t sample_key);

enum class RandomKeys {
  kSharedAxes,  // a power of two along an axis, the same everywhere: exact ties
  kAxes,        // the same for each layer and group by itself
  kAnywhere,
};

struct RandomTextOptions {
  uint64_t seed = 0;
  int64_t layers = 1;
  int64_t groups = 1;
  int64_t positions = 1;
  int64_t prompt = 1;
  int64_t levels = 1024;  // different values of attention; few make ties
  RandomKeys keys = RandomKeys::kAnywhere;
};

// Some positions attract attention throughout. Weights are multiples of one
// number, so coarse that all their sums and means are exact in float32: what
// ties here ties everywhere. `levels` is lowered to that end where need be.
// Every query attends to something.
TextHistory RandomText(const RandomTextOptions& options);

}  // namespace kvrecall
