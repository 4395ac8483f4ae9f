#include "client/report/report.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

#include "client/render/analysis_tables.h"
#include "client/render/result_table.h"
#include "client/report/html.h"
#include "client/report/page_figures.h"
#include "client/report/page_parts.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

std::string Notice(std::string_view text) {
  return absl::StrCat("<p class=\"notice\">", HtmlText(text), "</p>\n");
}

class Page {
 public:
  Page(const ReportData& data, const RunAnalysis& analysis)
      : data_(data), analysis_(analysis) {}

  std::string Render(const std::string& figures) {
    AddHead();
    AddVerdict();
    absl::StrAppend(&html_, "<h2 id=\"figures\">Figures</h2>\n", figures);
    AddTables();
    AddSamples();
    AddProvenance();
    AddData();
    return std::move(html_);
  }

 private:
  const RunInfo& run() const { return data_.run; }

  void AddHead() {
    const std::string title = absl::StrCat("kvrecall: ", run().config.task,
                                           ", ", run().provenance.model);
    absl::StrAppend(
        &html_,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">",
        // So that a browser, too, sees to it that nothing is fetched.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
        "'none'; img-src data:; style-src 'unsafe-inline'; script-src "
        "'unsafe-inline'\">\n",
        "<meta name=\"viewport\" content=\"width=device-width\">\n<title>",
        HtmlText(title), "</title>\n<style>\n", kPageCss,
        "</style></head>\n<body>\n<h1>",
        HtmlText(
            absl::StrCat("Entropy and KV-cache recall: ", run().config.task)),
        "</h1>\n<p class=\"soft\">");
    const std::string facts = absl::StrCat(
        run().provenance.model, " · run ", run().run_id, " · ",
        analysis_.samples, " samples, ", analysis_.steps, " steps · ",
        data_.summary.score
            ? absl::StrCat("mean score ",
                           FormatFixed(100 * *data_.summary.score, 1),
                           " of 100 (n = ", data_.summary.scored_samples, ")")
            : "no score");
    absl::StrAppend(&html_, HtmlText(facts),
                    "</p>\n<nav><a href=\"#verdict\">Verdict</a>"
                    "<a href=\"#figures\">Figures</a>"
                    "<a href=\"#tables\">Tables</a>"
                    "<a href=\"#texts\">Texts</a>"
                    "<a href=\"#provenance\">Provenance</a></nav>\n");
    if (!IsTerminal(run().state))
      html_ += Notice(absl::StrCat(
          "The run goes on: ", run().samples_done, " of ",
          run().samples_submitted,
          " samples are done; this is what has been recorded so far."));
    if (run().state == RunState::kCancelled)
      html_ += Notice(
          absl::StrCat("The run was cancelled: ", run().samples_done, " of ",
                       run().samples_submitted, " samples were done."));
    if (run().samples_failed > 0)
      html_ += Notice(absl::StrCat(run().samples_failed, " of ",
                                   run().samples_submitted,
                                   " samples failed; they are not in the "
                                   "numbers beyond the steps that they made."));
  }

  void AddFinding(const char* what, const VerdictLine& line) {
    const std::string name = FindingName(line.finding);
    absl::StrAppend(&html_, "<dt>", what, ": <span class=\"finding ",
                    absl::StrReplaceAll(name, {{" ", "-"}}), "\">", name,
                    "</span></dt><dd>", HtmlText(line.reason), "</dd>\n");
  }

  void AddVerdict() {
    const Verdict& verdict = analysis_.verdict;
    absl::StrAppend(
        &html_, "<h2 id=\"verdict\">Verdict</h2>\n<p>",
        HtmlText(absl::StrCat("Does high entropy tell when ", verdict.policy,
                              " (scope ", verdict.scope,
                              ") has lost what the model needs?")),
        "</p>\n");
    for (const std::string& warning : analysis_.warnings)
      html_ += Notice(warning);
    html_ += "<div class=\"verdicts\">\n";
    for (const BudgetVerdict& budget : verdict.budgets) {
      absl::StrAppend(&html_, "<div class=\"verdict\"><h3>budget ",
                      HtmlText(budget.budget.ToString()), "</h3><dl>\n");
      AddFinding("recall falls as entropy rises", budget.falls);
      if (budget.stronger)
        AddFinding("more so than at the next larger budget", *budget.stronger);
      AddFinding("the study's criterion", budget.criterion);
      html_ += "</dl></div>\n";
    }
    absl::StrAppend(
        &html_, "</div>\n<p class=\"soft\">",
        absl::StrFormat("Intervals are of %g %%, from a bootstrap over samples "
                        "(%d resamples, seed %d). All that follows is "
                        "exploratory: nothing of it was asked before the "
                        "numbers were there.",
                        100 * analysis_.bootstrap.level,
                        analysis_.bootstrap.resamples,
                        analysis_.bootstrap.seed),
        "</p>\n");
  }

  void AddTables() {
    html_ += "<h2 id=\"tables\">Tables</h2>\n";
    html_ += HtmlTable("Recall and its companions, means over steps",
                       LaneTable(data_.summary));
    html_ +=
        "<p class=\"soft\">No free: recall without the first 4 and the last 32 "
        "positions. Mass ratio: attention on what is held, of that on the most "
        "attended. Pearson: of entropy with recall. Fetched: positions that a "
        "trigger took back per step.</p>\n";
    if (!data_.summary.gaps.empty())
      html_ += HtmlTable("The entropy gap, means over steps",
                         GapTable(data_.summary));
    for (const TitledTable& titled :
         AnalysisTables(run().config, analysis_, /*all=*/true)) {
      if (titled.note.empty()) {
        html_ += HtmlTable(titled.title, titled.table);
      } else {
        absl::StrAppend(&html_, "<h3>", HtmlText(titled.title), "</h3>\n<p>",
                        HtmlText(titled.note), "</p>\n");
      }
    }
  }

  void AddSamples() {
    absl::StrAppend(
        &html_,
        "<h2 id=\"texts\">Texts, token by token</h2>\n<p>The darker a "
        "token, the higher the entropy of its choice; a blue line below it: "
        "recall below τ. Point at a token for its numbers and for what the "
        "policy had lost; a click keeps them.</p>\n");
    if (data_.shown < data_.samples)
      html_ += Notice(
          absl::StrCat("The first ", data_.shown, " of ", data_.samples,
                       " samples; the report takes more with --samples N."));
    html_ +=
        "<div class=\"controls\"><label>policy <select id=\"policy\"></select>"
        "</label><label>budget <select id=\"budget\"></select></label>"
        "<label>τ <input id=\"tau\" type=\"number\" min=\"0\" max=\"1\" "
        "step=\"0.05\"></label><label>order <select id=\"order\">"
        "<option value=\"run\">of the run</option>"
        "<option value=\"recall\">lowest recall first</option>"
        "<option value=\"entropy\">highest entropy first</option>"
        "<option value=\"score\">lowest score first</option></select></label>"
        "<span>entropy 0 <span class=\"scale\" style=\"background:"
        "linear-gradient(90deg,rgb(255,255,255),rgb(230,110,10))\"></span> "
        "3 nats and more</span></div>\n"
        "<noscript><p class=\"notice\">The texts need JavaScript; all else "
        "does not.</p></noscript>\n"
        "<div id=\"samples\"></div>\n<div id=\"tip\"></div>\n";
  }

  void AddProvenance() {
    const TextTable facts = RunFacts(run());
    html_ +=
        "<h2 id=\"provenance\">Provenance</h2>\n<p>What the numbers depend "
        "on.</p>\n<div class=\"table\"><table class=\"facts\">";
    absl::StrAppend(&html_, "<tr><th>run</th><td>", HtmlText(run().run_id),
                    "</td></tr>\n");
    for (const auto& row : facts.rows())
      absl::StrAppend(&html_, "<tr><th>", HtmlText(row[0]), "</th><td>",
                      HtmlText(row[1]), "</td></tr>\n");
    html_ += "</table></div>\n";
  }

  void AddData() {
    const Lane& headline =
        analysis_.lanes[static_cast<size_t>(analysis_.headline.front())].lane;
    nlohmann::ordered_json json = data_.tokens.ToJson();
    const std::string policy =
        run().config.policies[static_cast<size_t>(headline.policy)].ToString();
    size_t at = 0;
    while (at + 1 < json["policies"].size() && json["policies"][at] != policy)
      ++at;
    json["policy"] = at;
    json["budget"] = headline.budget;
    json["tau"] = analysis_.tau;
    json["has_lost"] =
        run().config.scopes[static_cast<size_t>(headline.scope)] ==
        Scope::kGlobal;
    // An end tag inside a text must not end the script.
    const std::string data = absl::StrReplaceAll(
        json.dump(-1, ' ', false,
                  nlohmann::ordered_json::error_handler_t::replace),
        {{"<", "\\u003c"}});
    absl::StrAppend(&html_, "<script id=\"data\" type=\"application/json\">",
                    data, "</script>\n<script>\n", kPageJs,
                    "</script>\n</body></html>\n");
  }

  const ReportData& data_;
  const RunAnalysis& analysis_;
  std::string html_;
};

}  // namespace

absl::StatusOr<std::string> RenderReport(const ReportData& data,
                                         const RunAnalysis& analysis) {
  ASSIGN_OR_RETURN(const std::string figures,
                   DrawPageFigures({data.run.run_id, data.table, analysis}));
  return Page(data, analysis).Render(figures);
}

}  // namespace kvrecall
