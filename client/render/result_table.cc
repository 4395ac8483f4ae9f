#include "client/render/result_table.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"

#include "client/render/text_table.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

using Align = TextTable::Align;

constexpr const char* kUndefined = "–";

bool IsDefined(std::optional<double> value) {
  return value.has_value() && !std::isnan(*value);
}

// Only runs with an irreversible policy have it.
bool AnyFetchedBack(const RunSummary& summary) {
  return std::any_of(
      summary.lanes.begin(), summary.lanes.end(),
      [](const LaneSummary& row) { return row.fetched_back.has_value(); });
}

// As LongBench reports scores: of 100.
std::string FormatScore(std::optional<double> score) {
  if (score) *score *= 100;
  return FormatFixed(score, 1);
}

std::string BinTable(const RunSummary& summary) {
  std::vector<TextTable::Column> columns = {
      {"entropy", Align::kLeft}, {"steps"}, {"samples"}};
  for (const Budget& budget : summary.config.budgets) {
    columns.push_back({"r=" + budget.ToString()});
  }
  TextTable table(std::move(columns));
  for (const BinSummary& bin : summary.bins) {
    std::vector<std::string> cells = {
        std::isinf(bin.high) ? absl::StrFormat("≥ %g", bin.low)
                             : absl::StrFormat("%g – %g", bin.low, bin.high),
        absl::StrCat(bin.steps), absl::StrCat(bin.samples)};
    for (const std::optional<double>& recall : bin.recall) {
      cells.push_back(FormatFixed(recall, 3));
    }
    table.AddRow(std::move(cells));
  }
  return table.ToString();
}

std::string Totals(const RunSummary& summary) {
  std::string samples = absl::StrCat(summary.samples_done, " done");
  if (summary.samples_reused > 0) {
    absl::StrAppend(&samples, " (", summary.samples_reused,
                    " with the records of an earlier run)");
  }
  if (summary.samples_failed > 0) {
    absl::StrAppend(&samples, ", ", summary.samples_failed, " failed");
  }
  if (summary.samples_unfinished > 0) {
    absl::StrAppend(&samples, ", ", summary.samples_unfinished, " unfinished");
  }
  const std::string score =
      summary.score
          ? absl::StrFormat("%s of 100 (n = %d)", FormatScore(summary.score),
                            summary.scored_samples)
          : kUndefined;
  std::string by_length;
  for (const LengthScore& part : summary.score_by_length) {
    absl::StrAppend(&by_length, by_length.empty() ? "by length   " : ", ",
                    part.words, " words ", FormatScore(part.score),
                    " (n = ", part.samples, ")");
  }
  if (!by_length.empty()) by_length += "\n";
  return absl::StrCat("samples     ", samples, "\n", "mean score  ", score,
                      "\n", by_length, "tokens      ", summary.prompt_tokens,
                      " prompt, ", summary.generated_tokens, " generated\n");
}

std::string Timestamp(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", time, absl::UTCTimeZone());
}

// A JSON value on one line, without the quotes and brackets of JSON.
std::string Plain(const nlohmann::ordered_json& value) {
  if (value.is_string()) {
    // A prompt template has line feeds; a line of the list has not.
    return absl::StrReplaceAll(value.get<std::string>(), {{"\n", "\\n"}});
  }
  if (value.is_array()) {
    return absl::StrJoin(value, ", ", [](std::string* out, const auto& item) {
      out->append(Plain(item));
    });
  }
  return value.dump();
}

// Longer values, such as templates, are cut: export has all of them.
std::string Cut(const std::string& text) {
  constexpr int kColumns = 74;
  if (DisplayWidth(text) <= kColumns) return text;
  std::string out;
  int columns = 0;
  for (char c : text) {
    const bool starts = (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    if (starts && ++columns == kColumns) break;
    out += c;
  }
  return out + "…";
}

// Its state, or that the server does not go on with it.
std::string StateText(const RunInfo& run) {
  return run.held.empty() ? RunStateName(run.state) : "held";
}

}  // namespace

std::string FormatFixed(std::optional<double> value, int decimals) {
  if (!IsDefined(value)) return kUndefined;
  return absl::StrFormat("%.*f", decimals, *value);
}

std::string FormatSigned(std::optional<double> value, int decimals) {
  if (!IsDefined(value)) return kUndefined;
  return absl::StrFormat("%+.*f", decimals, *value);
}

TextTable LaneTable(const RunSummary& summary) {
  const bool fetched = AnyFetchedBack(summary);
  std::vector<TextTable::Column> columns = {{"policy", Align::kLeft},
                                            {"scope", Align::kLeft},
                                            {"budget"},
                                            {"n"},
                                            {"recall"},
                                            {"no free"},
                                            {"chance"},
                                            {"lift"},
                                            {"mass ratio"},
                                            {"Pearson"}};
  if (fetched) columns.push_back({"fetched"});
  TextTable table(std::move(columns));
  for (const LaneSummary& row : summary.lanes) {
    const RunConfig& config = summary.config;
    std::vector<std::string> cells = {
        config.policies[row.lane.policy].ToString(),
        std::string(ScopeName(config.scopes[row.lane.scope])),
        config.budgets[row.lane.budget].ToString(),
        absl::StrCat(row.steps),
        FormatFixed(row.recall, 3),
        FormatFixed(row.recall_without_free_hits, 3),
        FormatFixed(row.chance, 3),
        FormatFixed(row.lift, 3),
        FormatFixed(row.mass_ratio, 3),
        FormatSigned(row.pearson, 3)};
    if (fetched) cells.push_back(FormatFixed(row.fetched_back, 2));
    table.AddRow(std::move(cells));
  }
  return table;
}

TextTable GapTable(const RunSummary& summary) {
  TextTable table({{"lane", Align::kLeft},
                   {"n"},
                   {"KL"},
                   {"ΔH"},
                   {"Δ ln p"},
                   {"top-1"},
                   {"score"}});
  for (size_t i = 0; i < summary.gaps.size(); ++i) {
    const GapSummary& gap = summary.gaps[i];
    table.AddRow({summary.config.gaps[i].ToString(), absl::StrCat(gap.steps),
                  FormatFixed(gap.kl, 3), FormatSigned(gap.entropy_change, 3),
                  FormatSigned(gap.logprob_change, 3),
                  FormatFixed(gap.top1_agreement, 3), FormatScore(gap.score)});
  }
  return table;
}

std::string RenderResult(const RunSummary& summary) {
  const RunConfig& config = summary.config;
  const bool fetched = AnyFetchedBack(summary);
  std::string out =
      "Recall per policy, scope and budget, over n steps\n"
      "no free: without the first 4 and the last 32 positions\n"
      "Pearson: of the token's entropy with recall, over the same n steps\n";
  if (fetched) out += "fetched: positions that a trigger took back per step\n";
  absl::StrAppend(&out, "\n", LaneTable(summary).ToString());
  if (!summary.gaps.empty()) {
    absl::StrAppend(
        &out,
        "\nEntropy gap: the step's distribution with attention limited, beside "
        "its own,\nmean over n steps (nats); top-1: share of steps with the "
        "same first choice;\nscore: of the text that the lane's own choices "
        "make, of 100\n\n",
        GapTable(summary).ToString());
  }
  if (!summary.bins.empty()) {
    absl::StrAppend(
        &out, "\nRecall of ", config.policies[summary.bins_policy].ToString(),
        ", scope ", std::string(ScopeName(config.scopes[summary.bins_scope])),
        ", per bin of the token's entropy (nats)\n\n", BinTable(summary));
  }
  return absl::StrCat(out, "\n", Totals(summary));
}

TextTable RunFacts(const RunInfo& run) {
  TextTable table({{"run", Align::kLeft}, {run.run_id, Align::kLeft}});
  table.AddRow({"state", StateText(run)});
  if (!run.held.empty()) table.AddRow({"held", run.held});
  table.AddRow({"created", Timestamp(run.create_time) + " UTC"});
  if (run.end_time) table.AddRow({"ended", Timestamp(*run.end_time) + " UTC"});
  if (run.deadline)
    table.AddRow({"deadline", Timestamp(*run.deadline) + " UTC"});
  table.AddRow({"samples", absl::StrCat(run.samples_submitted, " submitted",
                                        run.complete ? "" : " (more to come)",
                                        ", ", run.samples_done, " done, ",
                                        run.samples_failed, " failed")});
  // Named, because items() does not keep a temporary alive.
  const nlohmann::ordered_json config = ConfigToJson(run.config);
  const nlohmann::ordered_json provenance = ProvenanceToJson(run.provenance);
  for (const auto* part : {&config, &provenance}) {
    for (const auto& [name, value] : part->items()) {
      table.AddRow({name, Plain(value)});
    }
  }
  return table;
}

std::string RenderRun(const RunInfo& run) {
  const TextTable facts = RunFacts(run);
  TextTable table(facts.columns());
  for (const auto& row : facts.rows()) table.AddRow({row[0], Cut(row[1])});
  return table.ToString();
}

std::string RenderRuns(const std::vector<RunInfo>& runs) {
  TextTable table({{"run", Align::kLeft},
                   {"state", Align::kLeft},
                   {"task", Align::kLeft},
                   {"done"},
                   {"failed"},
                   {"samples"},
                   {"created (UTC)", Align::kLeft},
                   {"owner", Align::kLeft}});
  for (const RunInfo& run : runs) {
    table.AddRow(
        {run.run_id, StateText(run), run.config.task,
         absl::StrCat(run.samples_done), absl::StrCat(run.samples_failed),
         absl::StrCat(run.samples_submitted), Timestamp(run.create_time),
         run.owner.empty() ? "–" : run.owner});
  }
  return table.ToString();
}

}  // namespace kvrecall
