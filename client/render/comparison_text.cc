#include "client/render/comparison_text.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/render/estimate_text.h"
#include "client/render/text_table.h"

namespace kvrecall {
namespace {

using Align = TextTable::Align;

// The cells of a figure: the first run's value, the others' differences.
std::vector<std::string> Cells(const ComparedFigure& figure) {
  std::vector<std::string> cells = {EstimateText(figure.values.front())};
  for (size_t i = 1; i < figure.values.size(); ++i)
    cells.push_back(SignedEstimateText(figure.differences[i], 3));
  return cells;
}

std::vector<TextTable::Column> Columns(std::vector<TextTable::Column> names,
                                       size_t runs) {
  names.push_back({"run 1"});
  for (size_t i = 1; i < runs; ++i)
    names.push_back({absl::StrCat("run ", i + 1, " - run 1")});
  return names;
}

std::string LaneTable(const RunComparison& comparison,
                      ComparedFigure LaneComparison::*figure, size_t runs) {
  TextTable table(Columns(
      {{"policy", Align::kLeft}, {"scope", Align::kLeft}, {"budget"}}, runs));
  for (const LaneComparison& lane : comparison.lanes) {
    std::vector<std::string> cells = {lane.policy,
                                      std::string(ScopeName(lane.scope)),
                                      lane.budget.ToString()};
    for (std::string& cell : Cells(lane.*figure))
      cells.push_back(std::move(cell));
    table.AddRow(std::move(cells));
  }
  return table.ToString();
}

}  // namespace

std::string RenderComparison(const std::vector<RunInfo>& runs,
                             const RunComparison& comparison) {
  std::string text;
  for (size_t i = 0; i < runs.size(); ++i)
    absl::StrAppend(&text, "run ", i + 1, ": ", runs[i].run_id, ", task ",
                    runs[i].config.task, ", model ", runs[i].provenance.model,
                    " (", runs[i].provenance.dtype, ", ",
                    runs[i].provenance.device, ")\n");
  for (const RunInfo& run : runs)
    if (run.provenance.definitions_version !=
        runs.front().provenance.definitions_version) {
      absl::StrAppend(&text,
                      "warning: the runs follow different versions of the "
                      "definitions; their figures are not comparable\n");
      break;
    }
  absl::StrAppend(
      &text,
      comparison.paired
          ? absl::StrCat("paired: the ", comparison.shared_samples,
                         " samples that all runs have\n")
          : std::string("not paired: the runs share fewer than two samples\n"),
      absl::StrFormat("Intervals: %g %%, bootstrap over samples, %d resamples, "
                      "seed %d\n",
                      100 * comparison.bootstrap.level,
                      comparison.bootstrap.resamples,
                      comparison.bootstrap.seed));
  TextTable whole(Columns({{"", Align::kLeft}}, runs.size()));
  const auto add = [&](const char* name, const ComparedFigure& figure) {
    std::vector<std::string> cells = {name};
    for (std::string& cell : Cells(figure)) cells.push_back(std::move(cell));
    whole.AddRow(std::move(cells));
  };
  add("mean entropy (nats)", comparison.entropy);
  add("mean score", comparison.score);
  absl::StrAppend(&text, "\n", whole.ToString(), "\nMean recall\n",
                  LaneTable(comparison, &LaneComparison::recall, runs.size()),
                  "\nPearson of entropy with recall, pooled over steps\n",
                  LaneTable(comparison, &LaneComparison::pearson, runs.size()));
  return text;
}

}  // namespace kvrecall
