#pragma once

// A run's figures as text for people: 80 to 100 columns, "–" for what is not
// defined. Thread-safe: no shared state.

#include <optional>
#include <string>
#include <vector>

#include "client/render/text_table.h"
#include "client/summary.h"
#include "common/record/run_info.h"

namespace kvrecall {

// "0.612"; "–" for nullopt and NaN.
std::string FormatFixed(std::optional<double> value, int decimals);

// "+0.213", "-0.213"; "–" for nullopt and NaN.
std::string FormatSigned(std::optional<double> value, int decimals);

// The result table: recall and its companions per policy, scope and budget,
// then the gap lanes if there are any, recall per entropy bin, samples, score
// and tokens. Ends with a line feed.
std::string RenderResult(const RunSummary& summary);

// Its parts, for those who show them otherwise: a row per policy, scope and
// budget, and one per gap lane.
TextTable LaneTable(const RunSummary& summary);
TextTable GapTable(const RunSummary& summary);

// State, configuration and provenance, a row each: name and value, on one line.
TextTable RunFacts(const RunInfo& run);

// The same as text, long values cut, one one "name  value" a line.
std::string RenderRun(const RunInfo& run);

// The list of runs, in the order given.
std::string RenderRuns(const std::vector<RunInfo>& runs);

}  // namespace kvrecall
