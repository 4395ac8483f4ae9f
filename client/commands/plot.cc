#include "client/commands/plot.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/commands/run_option.h"
#include "client/plot/figures.h"
#include "client/plot/gnuplot.h"
#include "common/analysis/run_analysis.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct PlotOptions {
  RunOption run;
  AnalysisOptions analysis;
  std::string folder = "plots";
  std::vector<std::string> formats = {"png"};
  std::vector<std::string> only;
};

absl::StatusOr<int> Plot(const PlotOptions& options,
                         const CommandContext& context) {
  std::vector<ImageFormat> formats;
  for (const std::string& text : options.formats) {
    ASSIGN_OR_RETURN(const ImageFormat format, ParseImageFormat(text));
    formats.push_back(format);
  }
  ASSIGN_OR_RETURN(const LoadedRun loaded, LoadRun(options.run, context));
  ASSIGN_OR_RETURN(const RunAnalysis analysis,
                   AnalyzeRun(loaded.table, options.analysis));
  std::error_code error;
  std::filesystem::create_directories(options.folder, error);
  if (error)
    return absl::InvalidArgumentError(absl::StrCat(
        "cannot make the folder ", options.folder, ": ", error.message()));
  int drawn = 0;
  for (const NamedFigure& named :
       AllFigures({loaded.run.run_id, loaded.table, analysis})) {
    if (!options.only.empty() &&
        std::find(options.only.begin(), options.only.end(), named.name) ==
            options.only.end())
      continue;
    if (!named.figure.ok()) {
      *context.environment.err
          << named.name << ": not drawn: " << named.figure.status().message()
          << "\n";
      continue;
    }
    for (const ImageFormat format : formats) {
      const std::string path = absl::StrCat(options.folder, "/", named.name,
                                            ".", ImageFormatName(format));
      RETURN_IF_ERROR(DrawFigure(*named.figure, format, path));
      *context.environment.out << path << std::endl;
      ++drawn;
    }
  }
  if (drawn == 0)
    return absl::FailedPreconditionError("no figure could be drawn");
  return kExitOk;
}

}  // namespace

void AddPlotCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<PlotOptions>();
  CLI::App* command =
      app.add_subcommand("plot", "Draw a run's figures (needs gnuplot)");
  AddRunOption(*command, options->run);
  AddAnalysisOptions(*command, options->analysis);
  command->add_option("--out", options->folder, "Folder for the images")
      ->capture_default_str();
  command
      ->add_option("--format", options->formats,
                   "png, svg, pdf, or several, by commas")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--only", options->only, "These figures only, by commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"recall_by_entropy", "scatter", "recall_by_layer",
                             "policies", "recall_by_traffic", "trigger_roc"}));
  command->callback([options, &context] {
    context.run = [options, &context] { return Plot(*options, context); };
  });
}

}  // namespace kvrecall
