#include "client/commands/show.h"

#include <memory>
#include <string>

#include "client/commands/attach.h"
#include "client/commands/run_option.h"
#include "client/render/result_table.h"
#include "client/run_source.h"
#include "client/summary.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ShowOptions {
  RunOption run;
  bool json = false;
};

absl::StatusOr<int> Show(const ShowOptions& options,
                         const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RunSource> source,
                   OpenRunSource(context.server, options.run.database));
  ASSIGN_OR_RETURN(const RunInfo run, source->GetRun(options.run.run_id));
  SummaryBuilder records(run.config);
  RETURN_IF_ERROR(source->ReadRecords(
      run.run_id, run.last_sequence, {.lost = false},
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
  AddRunOption(*command, options->run);
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Show(*options, context); };
  });
}

}  // namespace kvrecall
