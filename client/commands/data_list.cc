#include "client/commands/data_list.h"

#include <memory>
#include <string>
#include <vector>

#include "client/data/inventory.h"
#include "client/export/data_json.h"
#include "client/render/data_text.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ListOptions {
  std::string data;
  bool json = false;
};

absl::StatusOr<int> List(const ListOptions& options,
                         const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::vector<DatasetFile> files,
                   TakeInventory(options.data, context.environment));
  std::ostream& out = *context.environment.out;
  if (options.json) {
    out << InventoryToJson(files).dump(
               2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
        << std::endl;
  } else {
    out << RenderInventory(files) << std::flush;
  }
  return kExitOk;
}

}  // namespace

void AddDataListCommand(CLI::App& group, CommandContext& context) {
  auto options = std::make_shared<ListOptions>();
  CLI::App* command = group.add_subcommand(
      "list", "List LongBench's files, and the data sets without one");
  command->add_option("--data", options->data,
                      "Folder to look in (default: where every command looks)");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return List(*options, context); };
  });
}

}  // namespace kvrecall
