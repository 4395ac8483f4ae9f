#include "client/commands/export.h"

#include <memory>
#include <string>

#include "client/commands/run_option.h"
#include "client/export/export_run.h"
#include "client/run_source.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ExportOptions {
  RunOption run;
  std::string format = "jsonl";
  std::string out = "-";
  bool force = false;
};

absl::StatusOr<int> Export(const ExportOptions& options,
                           const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RunSource> source,
                   OpenRunSource(context.server, options.run.database));
  if (options.out == "-") {
    RETURN_IF_ERROR(
        ExportRun(*source, options.run.run_id, *context.environment.out));
  } else {
    RETURN_IF_ERROR(ExportRunToFile(*source, options.run.run_id, options.out,
                                    options.force));
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
  command->add_option("--format", options->format, "Form of the records")
      ->check(CLI::IsMember({"jsonl"}))
      ->capture_default_str();
  command->add_option("--out", options->out, "File, or - for standard output")
      ->capture_default_str();
  command->add_flag("--force", options->force, "Overwrite the file");
  command->callback([options, &context] {
    context.run = [options, &context] { return Export(*options, context); };
  });
}

}  // namespace kvrecall
