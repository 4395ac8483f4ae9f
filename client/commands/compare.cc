#include "client/commands/compare.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/commands/run_option.h"
#include "client/export/comparison_json.h"
#include "client/render/comparison_text.h"
#include "common/analysis/run_comparison.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct CompareOptions {
  std::vector<std::string> run_ids;
  std::string database;
  BootstrapOptions bootstrap;
  bool json = false;
};

absl::StatusOr<int> Compare(const CompareOptions& options,
                            const CommandContext& context) {
  std::vector<RunInfo> runs;
  std::vector<RunTable> tables;
  for (const std::string& run_id : options.run_ids) {
    ASSIGN_OR_RETURN(LoadedRun loaded,
                     LoadRun({run_id, options.database}, context));
    runs.push_back(std::move(loaded.run));
    tables.push_back(std::move(loaded.table));
  }
  ASSIGN_OR_RETURN(const RunComparison comparison,
                   CompareRuns(tables, options.bootstrap));
  std::ostream& out = *context.environment.out;
  if (options.json)
    out << ComparisonToJson(runs, comparison).dump(2) << std::endl;
  else
    out << RenderComparison(runs, comparison) << std::flush;
  return kExitOk;
}

}  // namespace

void AddCompareCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<CompareOptions>();
  CLI::App* command = app.add_subcommand(
      "compare", "Runs side by side, with intervals of the difference");
  command
      ->add_option("runs", options->run_ids,
                   "Names of the runs; the first is what others are held to")
      ->required()
      ->expected(2, 20);
  AddDatabaseOption(*command, options->database);
  AddBootstrapOptions(*command, options->bootstrap);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Compare(*options, context); };
  });
}

}  // namespace kvrecall
