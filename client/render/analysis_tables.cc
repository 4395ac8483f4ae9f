#include "client/render/analysis_tables.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/render/estimate_text.h"
#include "common/record/run_config.h"

namespace kvrecall {
namespace {

using Align = TextTable::Align;
using Cells = std::vector<std::string>;

std::string BinName(const BinEstimate& bin) {
  return std::isinf(bin.high) ? absl::StrFormat("%g and up", bin.low)
                              : absl::StrFormat("%g to %g", bin.low, bin.high);
}

class TableMaker {
 public:
  TableMaker(const RunConfig& config, const RunAnalysis& analysis, bool all)
      : config_(config), analysis_(analysis), all_(all) {}

  std::vector<TitledTable> Run() {
    AddBins();
    AddCorrelations();
    AddControls();
    AddSensitivities();
    AddTriggers();
    AddFetched();
    AddLags();
    AddGaps();
    AddScores();
    return std::move(tables_);
  }

 private:
  void Title(std::string title) {
    tables_.push_back({std::move(title), TextTable({}), ""});
  }
  void Add(TextTable table) { tables_.back().table = std::move(table); }

  Cells LaneCells(const Lane& lane) const {
    return {
        config_.policies[static_cast<size_t>(lane.policy)].ToString(),
        std::string(ScopeName(config_.scopes[static_cast<size_t>(lane.scope)])),
        BudgetText(lane)};
  }
  std::string BudgetText(const Lane& lane) const {
    return config_.budgets[static_cast<size_t>(lane.budget)].ToString();
  }
  const LaneAnalysis& LaneAt(int index) const {
    return analysis_.lanes[static_cast<size_t>(index)];
  }
  // The lanes to tell of: the verdict's; `others`: all policies in its scope.
  std::vector<int> Shown(bool others) const {
    std::vector<int> shown;
    if (!all_ && !others) return analysis_.headline;
    const int scope = LaneAt(analysis_.headline.front()).lane.scope;
    for (size_t i = 0; i < analysis_.lanes.size(); ++i)
      if (all_ || analysis_.lanes[i].lane.scope == scope)
        shown.push_back(static_cast<int>(i));
    return shown;
  }
  bool IsShown(int lane) const {
    const std::vector<int> shown = Shown(/*others=*/false);
    return std::find(shown.begin(), shown.end(), lane) != shown.end();
  }

  std::vector<TextTable::Column> LaneColumns(
      std::vector<TextTable::Column> more) const {
    std::vector<TextTable::Column> columns = {
        {"policy", Align::kLeft}, {"scope", Align::kLeft}, {"budget"}};
    std::move(more.begin(), more.end(), std::back_inserter(columns));
    return columns;
  }

  void AddBins() {
    Title(absl::StrCat("Mean recall by entropy (nats), ",
                       analysis_.verdict.policy, ", ",
                       analysis_.verdict.scope));
    std::vector<TextTable::Column> columns = {
        {"entropy", Align::kLeft}, {"steps"}, {"samples"}};
    for (const int index : analysis_.headline)
      columns.push_back(
          {absl::StrCat("budget ", BudgetText(LaneAt(index).lane))});
    TextTable table(std::move(columns));
    const std::vector<BinEstimate>& bins =
        LaneAt(analysis_.headline.front()).bins;
    for (size_t b = 0; b < bins.size(); ++b) {
      Cells cells = {BinName(bins[b]), absl::StrCat(bins[b].steps),
                     absl::StrCat(bins[b].samples)};
      for (const int index : analysis_.headline)
        cells.push_back(EstimateText(LaneAt(index).bins[b].mean));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  void AddCorrelations() {
    Title(
        "Entropy with recall: pooled over steps, by ranks, and within samples");
    TextTable table(
        LaneColumns({{"Pearson"}, {"Spearman"}, {"within samples"}}));
    for (const int index : Shown(/*others=*/true)) {
      const LaneAnalysis& lane = LaneAt(index);
      Cells cells = LaneCells(lane.lane);
      cells.push_back(EstimateText(lane.pearson));
      cells.push_back(EstimateText(lane.spearman));
      cells.push_back(EstimateText(lane.within_pearson));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  void AddControls() {
    Title(
        "The same given length and step (partial), its slope, and p of "
        "Pearson; "
        "naive: steps as if\nindependent");
    TextTable table(LaneColumns(
        {{"n"}, {"partial"}, {"recall per nat"}, {"p"}, {"naive p"}}));
    for (const int index : Shown(/*others=*/false)) {
      const LaneAnalysis& lane = LaneAt(index);
      Cells cells = LaneCells(lane.lane);
      cells.push_back(absl::StrCat(lane.pearson.n));
      cells.push_back(EstimateText(lane.partial));
      cells.push_back(SignedEstimateText(lane.slope, 3));
      cells.push_back(PText(lane.pearson.p));
      cells.push_back(PText(lane.pearson.naive_p));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  void AddSensitivities() {
    if (analysis_.sensitivities.empty()) return;
    Title("Pearson at the smaller budget less that at the larger one");
    TextTable table({{"policy", Align::kLeft},
                     {"scope", Align::kLeft},
                     {"smaller"},
                     {"larger"},
                     {"difference"},
                     {"p"}});
    for (const Sensitivity& pair : analysis_.sensitivities) {
      if (!IsShown(pair.smaller)) continue;
      Cells cells = LaneCells(LaneAt(pair.smaller).lane);
      cells.push_back(BudgetText(LaneAt(pair.larger).lane));
      cells.push_back(SignedEstimateText(pair.difference, 3));
      cells.push_back(PText(pair.difference.p));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  void AddTriggers() {
    Title(
        absl::StrFormat("What announces recall < %g: area under the ROC curve "
                        "(0.5: nothing)",
                        analysis_.tau));
    std::vector<TextTable::Column> columns = {{"signal", Align::kLeft}};
    for (const int index : analysis_.headline)
      columns.push_back(
          {absl::StrCat("budget ", BudgetText(LaneAt(index).lane))});
    TextTable table(std::move(columns));
    for (size_t s = 0; s < kSignals; ++s) {
      Cells cells = {SignalName(static_cast<Signal>(s))};
      for (const int index : analysis_.headline)
        cells.push_back(EstimateText(LaneAt(index).triggers[s].area));
      table.AddRow(std::move(cells));
    }
    Cells events = {"steps with the event"};
    for (const int index : analysis_.headline) {
      const TriggerEstimate& trigger = LaneAt(index).triggers[0];
      events.push_back(absl::StrCat(trigger.events, " of ", trigger.steps));
    }
    table.AddRow(std::move(events));
    Add(std::move(table));
  }

  void AddFetched() {
    const bool any = std::any_of(analysis_.lanes.begin(), analysis_.lanes.end(),
                                 [](const LaneAnalysis& lane) {
                                   return lane.fetched_back.value.has_value();
                                 });
    if (!any) return;
    Title("Recall against positions fetched back per step");
    TextTable table(LaneColumns({{"recall"}, {"fetched back"}}));
    for (const LaneAnalysis& lane : analysis_.lanes) {
      if (!lane.fetched_back.value ||
          (!all_ &&
           lane.lane.scope != LaneAt(analysis_.headline.front()).lane.scope))
        continue;
      Cells cells = LaneCells(lane.lane);
      cells.push_back(EstimateText(lane.recall));
      cells.push_back(EstimateText(lane.fetched_back));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  void AddLags() {
    Title("Entropy with what comes one step later");
    TextTable table({{"", Align::kLeft}, {"pooled"}, {"within samples"}});
    for (const int index : analysis_.headline) {
      const LaneAnalysis& lane = LaneAt(index);
      table.AddRow({absl::StrCat("recall, budget ", BudgetText(lane.lane)),
                    EstimateText(lane.next_recall.pooled),
                    EstimateText(lane.next_recall.within)});
    }
    table.AddRow({"attention entropy",
                  EstimateText(analysis_.next_attention_entropy.pooled),
                  EstimateText(analysis_.next_attention_entropy.within)});
    Add(std::move(table));
  }

  // Means of both figures of a gap lane in each bin.
  void AddGapBins(const std::string& title,
                  std::vector<BinEstimate> GapAnalysis::*kl,
                  std::vector<BinEstimate> GapAnalysis::*logprob) {
    Title(title);
    TextTable table({{"lane", Align::kLeft},
                     {"bin", Align::kLeft},
                     {"steps"},
                     {"KL"},
                     {"Δ ln p"}});
    for (const GapAnalysis& gap : analysis_.gaps) {
      std::string name = config_.gaps[static_cast<size_t>(gap.gap)].ToString();
      for (size_t b = 0; b < (gap.*kl).size(); ++b) {
        const BinEstimate& bin = (gap.*kl)[b];
        if (bin.steps == 0) continue;
        table.AddRow({std::exchange(name, ""), BinName(bin),
                      absl::StrCat(bin.steps), EstimateText(bin.mean),
                      SignedEstimateText((gap.*logprob)[b].mean, 2)});
      }
    }
    Add(std::move(table));
  }

  void AddGaps() {
    if (analysis_.gaps.empty()) return;
    Title("Entropy gap: means, and entropy with KL");
    TextTable table(
        {{"lane", Align::kLeft}, {"KL (nats)"}, {"Δ ln p"}, {"Pearson"}});
    for (const GapAnalysis& gap : analysis_.gaps)
      table.AddRow({config_.gaps[static_cast<size_t>(gap.gap)].ToString(),
                    EstimateText(gap.kl),
                    SignedEstimateText(gap.logprob_change, 2),
                    EstimateText(gap.entropy_with_kl)});
    Add(std::move(table));
    AddGapBins("The gap by entropy", &GapAnalysis::kl_by_entropy,
               &GapAnalysis::logprob_by_entropy);
    AddGapBins("The gap by recall", &GapAnalysis::kl_by_recall,
               &GapAnalysis::logprob_by_recall);
  }

  void AddScores() {
    const CorrelationEstimate& first = LaneAt(analysis_.headline.front()).score;
    if (first.n == 0) return;
    Title(
        "Are wrong answers those of low recall? A sample's mean recall with "
        "its score");
    if (!first.r) {
      tables_.back().note = absl::StrCat("not defined: all ", first.n,
                                         " scored samples have one score");
      return;
    }
    TextTable table(LaneColumns({{"samples"}, {"Pearson"}, {"p"}}));
    for (const int index : Shown(/*others=*/false)) {
      const LaneAnalysis& lane = LaneAt(index);
      Cells cells = LaneCells(lane.lane);
      cells.push_back(absl::StrCat(lane.score.n));
      cells.push_back(EstimateText(lane.score));
      cells.push_back(PText(lane.score.p));
      table.AddRow(std::move(cells));
    }
    Add(std::move(table));
  }

  const RunConfig& config_;
  const RunAnalysis& analysis_;
  const bool all_;
  std::vector<TitledTable> tables_;
};

}  // namespace

std::vector<TitledTable> AnalysisTables(const RunConfig& config,
                                        const RunAnalysis& analysis, bool all) {
  return TableMaker(config, analysis, all).Run();
}

}  // namespace kvrecall
