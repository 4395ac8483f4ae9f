#include "client/commands/show.h"

#include <memory>
#include <string>

#include "client/commands/attach.h"
#include "client/connection.h"
#include "client/render/result_table.h"
#include "client/summary.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ShowOptions {
  std::string run_id;
  bool json = false;
};

absl::StatusOr<int> Show(const ShowOptions& options,
                         const CommandContext& context) {
  const Connection connection(context.server);
  ASSIGN_OR_RETURN(const RunInfo run, connection.GetRun(options.run_id));
  SummaryBuilder records(run.config);
  RETURN_IF_ERROR(connection.ReadRecords(
      run.run_id, run.last_sequence,
      [&records](const Event& event) { return records.Add(event); }));
  if (!options.json) *context.environment.out << RenderRun(run) << "\n";
  // The state is shown, not judged: showing a failed run is a success.
  RETURN_IF_ERROR(Report(context, run, records, options.json).status());
  return kExitOk;
}

}  // namespace

void AddShowCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<ShowOptions>();
  CLI::App* command =
      app.add_subcommand("show", "Show a run's state, settings and result");
  command->add_option("run", options->run_id, "Name of the run")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Show(*options, context); };
  });
}

}  // namespace kvrecall
