#include "client/plot/figures.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "common/analysis/roc.h"
#include "common/analysis/trigger.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

absl::Status Lacks(std::string_view what) {
  return absl::FailedPreconditionError(std::string(what));
}

const LaneAnalysis& LaneAt(const PlotData& data, int lane) {
  return data.analysis.lanes[static_cast<size_t>(lane)];
}

std::string PolicyOf(const PlotData& data, const Lane& lane) {
  return data.table.config.policies[static_cast<size_t>(lane.policy)]
      .ToString();
}
std::string ScopeOf(const PlotData& data, const Lane& lane) {
  return std::string(
      ScopeName(data.table.config.scopes[static_cast<size_t>(lane.scope)]));
}
std::string BudgetOf(const PlotData& data, const Lane& lane) {
  return data.table.config.budgets[static_cast<size_t>(lane.budget)].ToString();
}

// "h2o, scope global": what the headline's figures are of.
std::string HeadlineName(const PlotData& data) {
  return absl::StrCat(data.analysis.verdict.policy, ", scope ",
                      data.analysis.verdict.scope);
}

// The head of a figure's script, with which run it is of, and how much of it.
std::string Head(const PlotData& data, const std::string& title) {
  return ScriptHead(
      title, absl::StrCat(data.table.config.task, ", run ", data.run_id, ", ",
                          data.analysis.samples, " samples, ",
                          data.analysis.steps, " steps"));
}

std::string BinLabel(const BinEstimate& bin) {
  if (std::isinf(bin.high)) return absl::StrFormat("%.3g+", bin.low);
  return absl::StrFormat("%.3g-%.3g", bin.low, bin.high);
}

std::string Row(const std::vector<std::string>& cells) {
  return absl::StrJoin(cells, " ");
}

// A bin's mean and its interval; the mean alone where there is none.
std::string BinRow(size_t place, const BinEstimate& bin) {
  const double mean = *bin.mean.value;
  const Interval interval = bin.mean.interval.value_or(Interval{mean, mean});
  return Row({absl::StrCat(place), Number(mean), Number(interval.low),
              Number(interval.high)});
}

std::vector<std::string> BinRows(const std::vector<BinEstimate>& bins) {
  std::vector<std::string> rows;
  // A line does not cross a bin that is empty.
  for (size_t b = 0; b < bins.size(); ++b)
    rows.push_back(bins[b].mean.value ? BinRow(b, bins[b]) : "");
  return rows;
}

// A mark for each bin, with its label or none.
std::string BinTics(const std::vector<BinEstimate>& bins, bool labelled) {
  std::vector<std::string> tics;
  for (size_t b = 0; b < bins.size(); ++b)
    tics.push_back(
        absl::StrCat(Quoted(labelled ? BinLabel(bins[b]) : ""), " ", b));
  return absl::StrCat("set xtics (", absl::StrJoin(tics, ", "), ")\n");
}

double MeanOf(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

// Every step where there are few, else evenly so many of them.
std::vector<size_t> SomeSteps(int64_t steps, int64_t most) {
  std::vector<size_t> some;
  const int64_t count = std::min(steps, most);
  for (int64_t i = 0; i < count; ++i)
    some.push_back(static_cast<size_t>(i * steps / count));
  return some;
}

}  // namespace

absl::StatusOr<Figure> RecallByEntropy(const PlotData& data) {
  const std::vector<BinEstimate>& bins =
      LaneAt(data, data.analysis.headline.front()).bins;
  Figure figure;
  figure.name = "recall_by_entropy";
  figure.title =
      absl::StrCat("Mean recall by token entropy: ", HeadlineName(data));
  std::string data_blocks, lines;
  std::vector<std::string> chances;
  for (size_t i = 0; i < data.analysis.headline.size(); ++i) {
    const auto index = static_cast<size_t>(data.analysis.headline[i]);
    const LaneAnalysis& lane = data.analysis.lanes[index];
    const std::string block = absl::StrCat("budget", i);
    data_blocks += DataBlock(block, BinRows(lane.bins));
    const std::string colour = absl::StrCat("lc rgb '", LineColour(i), "'");
    absl::StrAppend(&lines, i == 0 ? "plot " : ", \\\n  ", "$", block,
                    " using 1:3:4 with filledcurves ", colour,
                    " notitle, \\\n  $", block,
                    " using 1:2:3:4 with yerrorbars ", colour, " lw 1 pt ",
                    PointType(i), " ps 1 notitle, \\\n  $", block,
                    " using 1:2 with lines ", colour, " lw 2 title ",
                    Quoted(absl::StrCat("budget ", BudgetOf(data, lane.lane))));
    const double chance = MeanOf(data.table.columns[index].chance);
    chances.push_back(absl::StrCat(Number(chance), " with lines dt 3 lw 1.5 ",
                                   colour, " ",
                                   i == 0 ? "title 'chance'" : "notitle"));
  }
  std::vector<std::string> counts;
  for (size_t b = 0; b < bins.size(); ++b)
    counts.push_back(absl::StrCat(b, " ", bins[b].steps));
  absl::StrAppend(&data_blocks, DataBlock("steps", counts));
  const std::string range =
      absl::StrCat("set xrange [-0.5:", Number(bins.size() - 0.5), "]\n");
  figure.script = absl::StrCat(
      data_blocks, Head(data, figure.title), range,
      "set multiplot\n"
      "set lmargin at screen 0.09\nset rmargin at screen 0.82\n"
      "set bmargin at screen 0.32\nset tmargin at screen 0.88\n"
      "set ylabel 'mean recall'\nset yrange [0:1.02]\n",
      BinTics(bins, /*labelled=*/false), lines, ", \\\n  ",
      absl::StrJoin(chances, ", \\\n  "),
      "\n"
      "unset title\nunset key\nunset grid\nunset ytics\n"
      "set bmargin at screen 0.13\nset tmargin at screen 0.28\n"
      "set border 1 lc rgb '#555555'\n"
      "set xlabel 'token entropy (nats)'\n"
      "set ylabel 'steps'\nset yrange [0:*]\n"
      "set boxwidth 0.6\nset style fill solid 0.6 noborder\n"
      "set offsets graph 0, 0, graph 0.4, 0\n",
      BinTics(bins, /*labelled=*/true),
      "plot $steps using 1:2 with boxes lc rgb '#9a9a9a' notitle, \\\n"
      "  $steps using 1:2:(sprintf('%d', $2)) with labels offset 0,0.6 "
      "notitle\n"
      "unset multiplot\n");
  return figure;
}

absl::StatusOr<Figure> RecallScatter(const PlotData& data) {
  constexpr int64_t kMostPoints = 4000;
  const int index = data.analysis.headline.front();
  const LaneAnalysis& lane = LaneAt(data, index);
  const std::vector<double>& recall =
      data.table.columns[static_cast<size_t>(index)].recall;
  Figure figure;
  figure.name = "scatter";
  figure.title =
      absl::StrCat("Entropy and recall of each step: ", HeadlineName(data),
                   ", budget ", BudgetOf(data, lane.lane));
  std::vector<std::string> rows;
  for (const size_t i : SomeSteps(data.table.steps(), kMostPoints))
    rows.push_back(
        absl::StrCat(Number(data.table.entropy[i]), " ", Number(recall[i])));
  figure.script = absl::StrCat(
      DataBlock("steps", rows), Head(data, figure.title),
      "set xlabel 'token entropy (nats)'\nset ylabel 'recall'\n"
      "set xrange [0:*]\nset yrange [-0.02:1.02]\nset key inside top right\n"
      "plot $steps using 1:2 with points pt 7 ps 0.6 lc rgb '#aa0072b2' title ",
      Quoted(absl::StrCat(rows.size(), std::ssize(rows) < data.table.steps()
                                           ? " of the steps"
                                           : " steps")));
  if (lane.slope.value && lane.pearson.r) {
    const double intercept =
        MeanOf(recall) - *lane.slope.value * MeanOf(data.table.entropy);
    absl::StrAppend(
        &figure.script, ", \\\n  ", Number(intercept), " + (",
        Number(*lane.slope.value), ")*x with lines lw 2 lc rgb '",
        LineColour(1), "' title ",
        Quoted(absl::StrFormat(
            "trend, Pearson %+.2f (within samples %s)", *lane.pearson.r,
            lane.within_pearson.r
                ? absl::StrFormat("%+.2f", *lane.within_pearson.r)
                : "not defined")));
  }
  absl::StrAppend(&figure.script, "\n");
  return figure;
}

absl::StatusOr<Figure> RecallByLayer(const PlotData& data) {
  // The headline's policy, else the first that has layers; smallest budget.
  const std::vector<LaneAnalysis>& lanes = data.analysis.lanes;
  int chosen = -1;
  for (size_t i = 0; i < lanes.size(); ++i) {
    if (data.table.columns[i].layer_recall.empty()) continue;
    const bool headline =
        PolicyOf(data, lanes[i].lane) == data.analysis.verdict.policy;
    if (chosen < 0 ||
        (headline && PolicyOf(data, lanes[static_cast<size_t>(chosen)].lane) !=
                         data.analysis.verdict.policy))
      chosen = static_cast<int>(i);
  }
  if (chosen < 0)
    return Lacks("the run has no scope with layers (--scopes layer)");
  const std::vector<std::vector<double>>& recall =
      data.table.columns[static_cast<size_t>(chosen)].layer_recall;
  const Lane& lane = LaneAt(data, chosen).lane;
  Figure figure;
  figure.name = "recall_by_layer";
  figure.title = absl::StrCat(
      "Recall by layer and step: ", PolicyOf(data, lane), ", scope ",
      ScopeOf(data, lane), ", budget ", BudgetOf(data, lane));
  std::vector<std::string> rows;
  for (size_t t = 0; t < recall.size(); ++t) {
    for (size_t l = 0; l < recall[t].size(); ++l)
      rows.push_back(absl::StrCat(t + 1, " ", l, " ", Number(recall[t][l])));
  }
  figure.script = absl::StrCat(
      DataBlock("recall", rows), Head(data, figure.title),
      "unset key\nunset grid\nset style fill solid 1 noborder\n"
      "set xlabel 'step of the answer'\nset ylabel 'layer'\n"
      "set cblabel 'mean recall over samples'\nset cbrange [0:1]\n"
      // Viridis: even to the eye, and in grey.
      "set palette defined (0 '#440154', 0.25 '#3b528b', 0.5 '#21918c', "
      "0.75 '#5ec962', 1 '#fde725')\n"
      "set xrange [0.5:",
      recall.size(), ".5]\nset yrange [-0.5:", recall.front().size() - 1,
      ".5]\nset ytics 0, ", (recall.front().size() + 13) / 14,
      "\nplot $recall using 1:2:3 with image notitle\n");
  return figure;
}

absl::StatusOr<Figure> PoliciesCompared(const PlotData& data) {
  // In the headline's scope, or where a policy is not defined in it, its own
  // first; best at the top.
  struct Entry {
    std::string name;
    std::vector<int> lanes;  // by budget of the configuration
    double best = 0;
  };
  std::vector<Entry> entries;
  const std::vector<LaneAnalysis>& lanes = data.analysis.lanes;
  for (int policy = 0; policy < std::ssize(data.table.config.policies);
       ++policy) {
    std::map<int, std::vector<int>> by_scope;
    for (size_t i = 0; i < lanes.size(); ++i)
      if (lanes[i].lane.policy == policy)
        by_scope[lanes[i].lane.scope].push_back(static_cast<int>(i));
    if (by_scope.empty()) continue;
    const int wanted = LaneAt(data, data.analysis.headline.front()).lane.scope;
    const auto found =
        by_scope.contains(wanted) ? by_scope.find(wanted) : by_scope.begin();
    Entry& entry = entries.emplace_back();
    entry.lanes = found->second;
    const Lane& lane = LaneAt(data, entry.lanes.front()).lane;
    entry.name = PolicyOf(data, lane);
    if (found->first != wanted)
      absl::StrAppend(&entry.name, " (", ScopeOf(data, lane), ")");
    for (const int i : entry.lanes)
      entry.best += LaneAt(data, i).recall.value.value_or(0);
  }
  if (entries.size() < 2) return Lacks("the run has one policy only");
  std::stable_sort(
      entries.begin(), entries.end(),
      [](const Entry& a, const Entry& b) { return a.best < b.best; });
  Figure figure;
  figure.name = "policies";
  figure.title = absl::StrCat("Mean recall by policy, scope ",
                              data.analysis.verdict.scope);
  figure.height = 160 + 34 * static_cast<int>(entries.size());
  std::vector<std::string> tics;
  for (size_t e = 0; e < entries.size(); ++e)
    tics.push_back(absl::StrCat(Quoted(entries[e].name), " ", e));
  std::string blocks, plots;
  const size_t budgets = data.table.config.budgets.size();
  for (size_t b = 0; b < budgets; ++b) {
    std::vector<std::string> rows;
    for (size_t e = 0; e < entries.size(); ++e) {
      const Estimate& recall = LaneAt(data, entries[e].lanes[b]).recall;
      const Interval interval =
          recall.interval.value_or(Interval{*recall.value, *recall.value});
      rows.push_back(Row({Number(*recall.value), absl::StrCat(e),
                          Number(interval.low), Number(interval.high)}));
    }
    blocks += DataBlock(absl::StrCat("budget", b), rows);
    absl::StrAppend(&plots, b == 0 ? "plot " : ", \\\n  ", "$budget", b,
                    " using 1:2:3:4 with xerrorbars lc rgb '", LineColour(b),
                    "' pt ", PointType(b), " ps 1.1 lw 1.5 title ",
                    Quoted(absl::StrCat(
                        "budget ", data.table.config.budgets[b].ToString())));
  }
  figure.script = absl::StrCat(
      blocks, Head(data, figure.title),
      "set grid xtics ytics lc rgb '#e0e0e0' lt 1\n"
      "set xlabel 'mean recall'\nset xrange [0:1.02]\nset yrange [-0.7:",
      Number(entries.size() - 0.3), "]\nset ytics (", absl::StrJoin(tics, ", "),
      ")\n", plots, "\n");
  return figure;
}

absl::StatusOr<Figure> RecallByTraffic(const PlotData& data) {
  const RunConfig& config = data.table.config;
  const int scope = LaneAt(data, data.analysis.headline.front()).lane.scope;
  const auto without_trigger = [](PolicySpec policy) {
    policy.trigger.reset();
    return policy.ToString();
  };
  std::set<std::string> triggered;
  for (const PolicySpec& policy : config.policies)
    if (policy.trigger) triggered.insert(without_trigger(policy));
  // A shape for each policy and kind of trigger, a colour for each budget.
  std::map<std::string, std::map<int, std::vector<std::string>>> series;
  for (const LaneAnalysis& lane : data.analysis.lanes) {
    const PolicySpec& policy =
        config.policies[static_cast<size_t>(lane.lane.policy)];
    const std::string plain = without_trigger(policy);
    if (lane.lane.scope != scope || !lane.fetched_back.value ||
        !triggered.contains(plain))
      continue;
    const std::string name = absl::StrCat(
        plain,
        policy.trigger ? absl::StrCat("@", policy.trigger->name) : " alone");
    series[name][lane.lane.budget].push_back(absl::StrCat(
        Number(*lane.fetched_back.value), " ", Number(*lane.recall.value)));
  }
  if (series.empty())
    return Lacks(
        "the run has no policy with a trigger (--policies "
        "\"h2o_evict@entropy(2)\")");
  Figure figure;
  figure.name = "recall_by_traffic";
  figure.title = absl::StrCat("Recall against positions fetched back, scope ",
                              data.analysis.verdict.scope);
  std::string blocks;
  std::vector<std::string> plots, keys;
  for (const auto& [name, by_budget] : series) {
    const std::string shape = absl::StrCat("pt ", PointType(keys.size()));
    keys.push_back(absl::StrCat("NaN with points ", shape,
                                " ps 1.3 lc rgb '#777777' title ",
                                Quoted(name)));
    for (const auto& [budget, rows] : by_budget) {
      const std::string block = absl::StrCat("series", plots.size());
      blocks += DataBlock(block, rows);
      plots.push_back(absl::StrCat(
          "$", block, " using 1:2 with points ", shape, " ps 1.3 lc rgb '",
          LineColour(static_cast<size_t>(budget)), "' notitle"));
    }
  }
  for (size_t b = 0; b < config.budgets.size(); ++b)
    keys.push_back(absl::StrCat(
        "NaN with lines lw 4 lc rgb '", LineColour(b), "' title ",
        Quoted(absl::StrCat("budget ", config.budgets[b].ToString()))));
  figure.script = absl::StrCat(
      blocks, Head(data, figure.title),
      "set xlabel 'positions fetched back per step'\n"
      "set ylabel 'mean recall'\nset xrange [0:*]\n"
      "set offsets graph 0.04, graph 0.04, graph 0.08, graph 0.08\nplot ",
      absl::StrJoin(plots, ", \\\n  "), ", \\\n  ",
      absl::StrJoin(keys, ", \\\n  "), "\n");
  return figure;
}

absl::StatusOr<Figure> TriggerRoc(const PlotData& data) {
  constexpr int64_t kMostPoints = 300;
  const int index = data.analysis.headline.front();
  const LaneAnalysis& lane = LaneAt(data, index);
  Figure figure;
  figure.name = "trigger_roc";
  figure.width = 860;
  figure.title = absl::StrFormat("What announces recall < %g: %s, budget %s",
                                 data.analysis.tau, HeadlineName(data),
                                 BudgetOf(data, lane.lane));
  std::string blocks;
  std::vector<std::string> plots;
  for (size_t s = 0; s < kSignals; ++s) {
    const auto signal = static_cast<Signal>(s);
    const TriggerSteps steps = StepsOf(data.table, static_cast<size_t>(index),
                                       signal, data.analysis.tau);
    const std::vector<RocPoint> curve =
        RocCurve(steps.signal, steps.event, kMostPoints);
    if (curve.empty()) continue;
    std::vector<std::string> rows;
    for (const RocPoint& point : curve)
      rows.push_back(absl::StrCat(Number(point.false_positives), " ",
                                  Number(point.true_positives)));
    blocks += DataBlock(absl::StrCat("signal", s), rows);
    plots.push_back(absl::StrCat(
        "$signal", s, " using 1:2 with lines lw 2 lc rgb '", LineColour(s),
        "' title ",
        Quoted(absl::StrFormat("%s (area %.2f)", SignalName(signal),
                               lane.triggers[s].area.value.value_or(0)))));
  }
  if (plots.empty())
    return Lacks(absl::StrFormat(
        "at budget %s recall is below %g at all steps or at none; give another "
        "--tau",
        BudgetOf(data, lane.lane), data.analysis.tau));
  figure.script = absl::StrCat(
      blocks, Head(data, figure.title),
      "set xlabel 'share of the other steps that alarm'\n"
      "set ylabel 'share of the steps with the event that alarm'\n"
      "set xrange [0:1]\nset yrange [0:1]\nset size ratio 1\n"
      "plot x with lines dt 3 lc rgb '#888888' title 'no signal', \\\n  ",
      absl::StrJoin(plots, ", \\\n  "), "\n");
  return figure;
}

std::vector<NamedFigure> AllFigures(const PlotData& data) {
  return {{"recall_by_entropy", RecallByEntropy(data)},
          {"scatter", RecallScatter(data)},
          {"recall_by_layer", RecallByLayer(data)},
          {"policies", PoliciesCompared(data)},
          {"recall_by_traffic", RecallByTraffic(data)},
          {"trigger_roc", TriggerRoc(data)}};
}

}  // namespace kvrecall
