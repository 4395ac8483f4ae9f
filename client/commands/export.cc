#include "client/commands/export.h"

#include <memory>
#include <string>

#include "client/connection.h"
#include "client/export/export_run.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ExportOptions {
  std::string run_id;
  std::string format = "jsonl";
  std::string out = "-";
  bool force = false;
};

absl::StatusOr<int> Export(const ExportOptions& options,
                           const CommandContext& context) {
  const Connection connection(context.server);
  if (options.out == "-") {
    RETURN_IF_ERROR(
        ExportRun(connection, options.run_id, *context.environment.out));
  } else {
    RETURN_IF_ERROR(ExportRunToFile(connection, options.run_id, options.out,
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
  command->add_option("run", options->run_id, "Name of the run")->required();
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
