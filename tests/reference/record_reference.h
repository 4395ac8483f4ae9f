#pragma once

// The figures of one lane at one step the slow, obvious way, from sets. Linked
// into tests only.

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "common/record/record.h"
#include "common/record/scope.h"

namespace kvrecall {

// One row of the lane at the step.
struct RowFigures {
  std::vector<double> attention;  // the step's own row, of N_t entries
  std::set<int64_t> held;         // what the policy held
  std::set<int64_t> gold;         // the K positions with the most attention
  std::optional<std::set<int64_t>> gold_before;  // of step t − 1
};

// `fetched_back` is left empty. Lanes of scope global have no layer_recalls;
// in the others the rows of a layer stand together.
RecallRecord RecordSlowly(const std::vector<RowFigures>& rows, int64_t k,
                          Scope scope, int64_t layers);

}  // namespace kvrecall
