#include "client/render/analysis_text.h"

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

#include "client/render/analysis_tables.h"
#include "client/render/estimate_text.h"
#include "client/render/result_table.h"
#include "client/render/text_table.h"
#include "common/record/run_config.h"

namespace kvrecall {
namespace {

// What a reader should not trip over: line feeds and control characters.
std::string OneLine(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"}});
}

// Lines of at most 100 columns, indented alike.
std::string Wrapped(const std::string& text, size_t indent) {
  constexpr size_t kColumns = 100;
  std::string lines, line;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > kColumns) {
      absl::StrAppend(&lines, std::string(indent, ' '), line, "\n");
      line.clear();
    }
    absl::StrAppend(&line, line.empty() ? "" : " ", word);
  }
  return absl::StrCat(lines, std::string(indent, ' '), line, "\n");
}

class Renderer {
 public:
  Renderer(const RunInfo& run, const RunAnalysis& analysis, bool all)
      : config_(run.config), analysis_(analysis), all_(all) {
    absl::StrAppend(
        &text_, "Run ", run.run_id, ", task ", run.config.task, ", model ",
        run.provenance.model, ": ", analysis.samples, " samples, ",
        analysis.steps, " steps\n",
        absl::StrFormat("Intervals: %g %%, bootstrap over samples, %d "
                        "resamples, seed %d\n",
                        100 * analysis.bootstrap.level,
                        analysis.bootstrap.resamples, analysis.bootstrap.seed));
  }

  std::string Run() {
    AddVerdict();
    for (const TitledTable& titled : AnalysisTables(config_, analysis_, all_)) {
      Title(titled.title);
      text_ += titled.note.empty() ? titled.table.ToString()
                                   : absl::StrCat("  ", titled.note, "\n");
    }
    AddExemplars();
    return std::move(text_);
  }

 private:
  void Title(const std::string& title) {
    absl::StrAppend(&text_, "\n", title, "\n");
  }

  void AddVerdict() {
    const Verdict& verdict = analysis_.verdict;
    Title(absl::StrCat("Verdict: does high entropy tell when ", verdict.policy,
                       " (", verdict.scope, ") has lost what is needed?"));
    for (const BudgetVerdict& budget : verdict.budgets) {
      absl::StrAppend(&text_, "  budget ", budget.budget.ToString(), "\n");
      const auto line = [&](const char* what, const VerdictLine& said) {
        absl::StrAppend(&text_, "    ", what, ": ", FindingName(said.finding),
                        "\n");
        text_ += Wrapped(said.reason, /*indent=*/6);
      };
      line("recall falls as entropy rises", budget.falls);
      if (budget.stronger)
        line("more so than at the next larger budget", *budget.stronger);
      line("the study's criterion", budget.criterion);
    }
    for (const std::string& warning : analysis_.warnings)
      text_ += Wrapped(absl::StrCat("warning: ", warning), /*indent=*/2);
    absl::StrAppend(&text_,
                    "  All that follows is exploratory: nothing of it was "
                    "asked before the numbers were there.\n");
    if (!all_)
      absl::StrAppend(&text_,
                      "  --all shows every policy and scope in all tables, "
                      "--json every number.\n");
  }

  void AddExemplars() {
    if (analysis_.exemplars.empty()) return;
    Title("Steps of high entropy and low recall; the token stands in >> <<");
    for (const Exemplar& step : analysis_.exemplars) {
      absl::StrAppend(&text_, "  ", step.sample, ", step ", step.step,
                      absl::StrFormat(": entropy %.2f, recall", step.entropy));
      for (const double recall : step.recall)
        absl::StrAppend(&text_, " ", FormatFixed(recall, 2));
      absl::StrAppend(&text_, "\n    ", OneLine(step.before), ">>",
                      OneLine(step.token), "<<", OneLine(step.after), "\n");
    }
  }

  const RunConfig& config_;
  const RunAnalysis& analysis_;
  const bool all_;
  std::string text_;
};

}  // namespace

std::string RenderAnalysis(const RunInfo& run, const RunAnalysis& analysis,
                           bool all) {
  return Renderer(run, analysis, all).Run();
}

}  // namespace kvrecall
