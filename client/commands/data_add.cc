#include "client/commands/data_add.h"

#include <memory>
#include <string>
#include <vector>

#include "client/commands/import_report.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct AddOptions {
  std::vector<std::string> paths;
  std::string data;
  bool force = false;
};

absl::StatusOr<int> Add(const AddOptions& options,
                        const CommandContext& context) {
  // That it is requested is all; the import asks for it.
  const Interrupt::Scope scope(context.interrupt, [] {});
  const absl::Status status =
      ImportAndReport(options.paths, TargetFolder(options.data, context),
                      options.force, context);
  if (absl::IsCancelled(status)) {
    *context.environment.err << status.message() << std::endl;
    return kExitInterrupted;
  }
  RETURN_IF_ERROR(status);
  return kExitOk;
}

}  // namespace

void AddDataAddCommand(CLI::App& group, CommandContext& context) {
  auto options = std::make_shared<AddOptions>();
  CLI::App* command = group.add_subcommand(
      "add", "Check LongBench's files and copy them to the data folder");
  command
      ->add_option("path", options->paths,
                   "<data set>.jsonl, a folder of such files, or LongBench's "
                   "data.zip")
      ->required();
  command->add_option("--data", options->data,
                      "Folder to copy to (default: the user's data folder)");
  command->add_flag("--force", options->force,
                    "Replace files that have other content");
  command->callback([options, &context] {
    context.run = [options, &context] { return Add(*options, context); };
  });
}

}  // namespace kvrecall
