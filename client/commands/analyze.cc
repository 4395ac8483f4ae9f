#include "client/commands/analyze.h"

#include <memory>
#include <string>

#include "client/commands/run_option.h"
#include "client/export/analysis_json.h"
#include "client/render/analysis_text.h"
#include "common/analysis/run_analysis.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct AnalyzeOptions {
  RunOption run;
  AnalysisOptions analysis;
  bool all = false;
  bool json = false;
};

absl::StatusOr<int> Analyze(const AnalyzeOptions& options,
                            const CommandContext& context) {
  ASSIGN_OR_RETURN(const LoadedRun loaded, LoadRun(options.run, context));
  ASSIGN_OR_RETURN(const RunAnalysis analysis,
                   AnalyzeRun(loaded.table, options.analysis));
  std::ostream& out = *context.environment.out;
  if (options.json)
    out << AnalysisToJson(loaded.run, analysis)
               .dump(2, ' ', false,
                     nlohmann::ordered_json::error_handler_t::replace)
        << std::endl;
  else
    out << RenderAnalysis(loaded.run, analysis, options.all) << std::flush;
  return kExitOk;
}

}  // namespace

void AddAnalyzeCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<AnalyzeOptions>();
  CLI::App* command = app.add_subcommand(
      "analyze", "Correlations, bins and verdict of a run, with intervals");
  AddRunOption(*command, options->run);
  AddAnalysisOptions(*command, options->analysis);
  command->add_flag("--all", options->all,
                    "Every policy and scope in all tables");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Analyze(*options, context); };
  });
}

}  // namespace kvrecall
