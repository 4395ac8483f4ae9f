#include "client/commands/pull.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/placed_run.h"
#include "client/pull.h"
#include "client/render/transfer_progress.h"
#include "common/base/status_macros.h"
#include "common/record/run_info.h"

namespace kvrecall {
namespace {

struct PullOptions {
  std::string run_id;
  std::string out;
  bool force = false;
};

absl::StatusOr<int> Pull(const PullOptions& options,
                         const CommandContext& context) {
  ASSIGN_OR_RETURN(const auto servers, ConnectAll(context.server));
  ASSIGN_OR_RETURN(const std::vector<PlacedRun> runs,
                   FindRuns(servers, options.run_id));
  if (runs.size() > 1 && options.out.empty())
    return absl::InvalidArgumentError(
        "several runs become one file, which needs a name: give --out FILE");
  const std::string path =
      options.out.empty() ? options.run_id + ".db" : options.out;
  std::ostream& err = *context.environment.err;
  TransferDisplay display(context.environment, /*done=*/0);
  const absl::StatusOr<std::string> pulled = PullStudy(
      runs, path, options.force,
      [&](int64_t bytes) { display.Set(bytes, /*total=*/0); },
      [&](std::string_view line) { display.Message(line); });
  display.Finish();
  RETURN_IF_ERROR(pulled.status());
  *context.environment.out << path << std::endl;
  ASSIGN_OR_RETURN(const RunInfo run, JoinRuns(runs));
  if (!IsTerminal(run.state))
    err << "the run goes on: the file has what was recorded by now"
        << std::endl;
  err << "read it with: kvrecall-client analyze " << *pulled << " --db " << path
      << std::endl;
  return kExitOk;
}

}  // namespace

void AddPullCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = app.add_subcommand(
      "pull", "Take a run home, as a database file for --db");
  command->add_option("run", options->run_id, "Name of the run")->required();
  command->add_option("--out", options->out, "File (default: RUN.db)");
  command->add_flag("--force", options->force, "Overwrite the file");
  command->callback([options, &context] {
    context.run = [options, &context] { return Pull(*options, context); };
  });
}

}  // namespace kvrecall
