#include "client/commands/run_option.h"

#include <limits>
#include <memory>
#include <utility>

#include "client/run_source.h"
#include "common/base/status_macros.h"

namespace kvrecall {

void AddDatabaseOption(CLI::App& command, std::string& database) {
  command.add_option("--db", database,
                     "Read this database file, without a server");
}

void AddRunOption(CLI::App& command, RunOption& option) {
  command.add_option("run", option.run_id, "Name of the run")->required();
  AddDatabaseOption(command, option.database);
}

void AddBootstrapOptions(CLI::App& command, BootstrapOptions& options) {
  command
      .add_option("--resamples", options.resamples,
                  "Resamples of the bootstrap, at least 2000")
      ->capture_default_str();
  command.add_option("--seed", options.seed, "Seed of the bootstrap")
      ->capture_default_str();
}

void AddAnalysisOptions(CLI::App& command, AnalysisOptions& options) {
  AddBootstrapOptions(command, options.bootstrap);
  auto* edges = command.add_option(
      "--bins", options.edges,
      "Edges of the entropy bins in nats (0,1,2.5,inf); default "
      "0,0.5,1,1.5,2,2.5,3,inf");
  edges->delimiter(',');
  command
      .add_option("--quantile-bins", options.quantile_bins,
                  "So many bins of as many steps each, in place of --bins")
      ->excludes(edges);
  command
      .add_option("--tau", options.tau,
                  "What a trigger is to announce is a recall below this")
      ->capture_default_str();
}

absl::StatusOr<LoadedRun> LoadRun(const RunOption& option,
                                  const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RunSource> source,
                   OpenRunSource(context.server, option.database));
  LoadedRun loaded;
  ASSIGN_OR_RETURN(loaded.run, source->GetRun(option.run_id));
  RunTableBuilder builder(loaded.run.config);
  RETURN_IF_ERROR(source->ReadRecords(
      option.run_id, loaded.run.last_sequence, {.lost = false},
      [&builder](const Event& event) { return builder.Add(event); }));
  ASSIGN_OR_RETURN(loaded.table, builder.Build());
  return loaded;
}

}  // namespace kvrecall
