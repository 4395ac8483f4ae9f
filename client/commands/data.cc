#include "client/commands/data.h"

#include "client/commands/data_add.h"
#include "client/commands/data_list.h"
#include "client/commands/data_pull.h"

namespace kvrecall {

void AddDataCommand(CLI::App& app, CommandContext& context) {
  CLI::App* group = app.add_subcommand(
      "data", "LongBench's files: which are there, take over, download");
  group->require_subcommand(1);
  AddDataListCommand(*group, context);
  AddDataAddCommand(*group, context);
  AddDataPullCommand(*group, context);
}

}  // namespace kvrecall
