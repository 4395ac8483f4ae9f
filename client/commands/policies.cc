#include "client/commands/policies.h"

#include <memory>

#include "client/export/catalog_json.h"
#include "client/render/catalog_text.h"

namespace kvrecall {

void AddPoliciesCommand(CLI::App& app, CommandContext& context) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("policies", "List the eviction policies");
  command->add_flag("--json", *json, "Print one JSON object");
  command->callback([json, &context] {
    context.run = [json, &context]() -> absl::StatusOr<int> {
      std::ostream& out = *context.environment.out;
      if (*json) {
        out << CatalogToJson().dump(2) << std::endl;
      } else {
        out << RenderCatalog() << std::flush;
      }
      return kExitOk;
    };
  });
}

}  // namespace kvrecall
