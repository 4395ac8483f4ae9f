#pragma once

// The tables of an analysis, for a terminal and for a page. Thread-safe: no
// shared state.

#include <string>
#include <vector>

#include "client/render/text_table.h"
#include "common/analysis/run_analysis.h"
#include "common/record/run_config.h"

namespace kvrecall {

struct TitledTable {
  std::string title;
  TextTable table;
  std::string note;  // in place of the table, where that has no rows
};

// In the order in which they are to be read. `all`: every policy and scope in
// all of them; else the verdict's, and where policies are compared all in its
// scope.
std::vector<TitledTable> AnalysisTables(const RunConfig& config,
                                        const RunAnalysis& analysis, bool all);

}  // namespace kvrecall
