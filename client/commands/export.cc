#include "client/commands/export.h"

#include <memory>
#include <string>
#include <vector>

#include "client/commands/run_option.h"
#include "client/export/csv.h"
#include "client/export/export_run.h"
#include "client/export/study.h"
#include "client/plot/figures.h"
#include "client/plot/gnuplot.h"
#include "client/run_source.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ExportOptions {
  RunOption run;
  std::string format = "jsonl";
  std::vector<std::string> columns;
  std::string layout;
  std::string out = "-";
  bool force = false;
};

// Those of a run that can be drawn, as PNG.
absl::Status DrawAll(const std::string& run_id, const RunTable& table,
                     const std::string& folder) {
  ASSIGN_OR_RETURN(const RunAnalysis analysis, AnalyzeRun(table, {}));
  for (const NamedFigure& named : AllFigures({run_id, table, analysis}))
    if (named.figure.ok())
      RETURN_IF_ERROR(DrawFigure(*named.figure, ImageFormat::kPng,
                                 folder + "/" + named.name + ".png"));
  return absl::OkStatus();
}

absl::StatusOr<int> ExportInLayout(const ExportOptions& options,
                                   const CommandContext& context) {
  ASSIGN_OR_RETURN(const LoadedRun loaded, LoadRun(options.run, context));
  if (loaded.table.steps() == 0)
    return absl::FailedPreconditionError(
        "the run has no steps yet; there is nothing to export");
  ASSIGN_OR_RETURN(
      const std::string made,
      ExportStudy(loaded.run, loaded.table,
                  options.out == "-" ? "." : options.out, options.force,
                  [&](const RunTable& table, const std::string& folder) {
                    return DrawAll(loaded.run.run_id, table, folder);
                  }));
  *context.environment.out << made << std::flush;
  return kExitOk;
}

absl::StatusOr<int> Export(const ExportOptions& options,
                           const CommandContext& context) {
  if (!options.layout.empty()) return ExportInLayout(options, context);
  ASSIGN_OR_RETURN(const std::unique_ptr<RunSource> source,
                   OpenRunSource(context.server, options.run.database));
  const bool is_csv = options.format == "csv";
  if (!is_csv && !options.columns.empty())
    return absl::InvalidArgumentError("--columns are those of --format csv");
  RETURN_IF_ERROR(CheckCsvColumns(options.columns));
  const ExportForm form = {
      is_csv ? ExportFormat::kCsv : ExportFormat::kJsonLines, options.columns};
  if (options.out == "-") {
    RETURN_IF_ERROR(
        ExportRun(*source, options.run.run_id, form, *context.environment.out));
  } else {
    RETURN_IF_ERROR(ExportRunToFile(*source, options.run.run_id, form,
                                    options.out, options.force));
    *context.environment.err << "wrote " << options.out << std::endl;
  }
  return kExitOk;
}

}  // namespace

void AddExportCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<ExportOptions>();
  CLI::App* command =
      app.add_subcommand("export", "Write a run's records to a file");
  AddRunOption(*command, options->run);
  auto* format =
      command->add_option("--format", options->format, "Form of the records")
          ->check(CLI::IsMember({"jsonl", "csv"}))
          ->capture_default_str();
  command
      ->add_option("--columns", options->columns,
                   "These columns of --format csv only, by commas")
      ->delimiter(',');
  command
      ->add_option("--layout", options->layout,
                   "Folders as the study has them, below --out: "
                   "results/<task>_budget_<budget>/logs.json and plots/")
      ->check(CLI::IsMember({"study"}))
      ->excludes(format);
  command
      ->add_option("--out", options->out,
                   "File (or folder of --layout), or - for standard output")
      ->capture_default_str();
  command->add_flag("--force", options->force, "Overwrite the file");
  command->callback([options, &context] {
    context.run = [options, &context] { return Export(*options, context); };
  });
}

}  // namespace kvrecall
