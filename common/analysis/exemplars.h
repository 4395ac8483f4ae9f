#pragma once

// Steps to look at: where the model was least sure and the policy had lost
// most. Thread-safe: no shared state.

#include <cstdint>
#include <string>
#include <vector>

#include "common/analysis/run_table.h"

namespace kvrecall {

struct Exemplar {
  std::string sample;
  int64_t step = 0;                  // t, from 1
  double entropy = 0;                // nats
  std::vector<double> recall;        // of the lanes asked for
  std::string before, token, after;  // text around it
};

// The `count` steps of the largest entropy × (1 − recall), the first of `lanes`
// deciding; ties in the table's order.
std::vector<Exemplar> FindExemplars(const RunTable& table,
                                    const std::vector<int>& lanes, int count);

}  // namespace kvrecall
