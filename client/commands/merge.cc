#include "client/commands/merge.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/merge.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr char kHelp[] =
    R"(The files are servers' databases, or what `pull` wrote; they are only read. The
runs of each task become one run with the samples of all, in the study's order,
under a name of its own, which is printed. A sample that several files have is
taken once, if its records are the same in all. Runs that differ in model,
configuration, program or device are not joined; the difference is named.

The result is a database like any other: `analyze`, `report`, `export` and the
rest read it with --db, a server may be started on it, and it may be merged
again, with what came later.

  kvrecall-client merge shard-*.db -o study.db
  kvrecall-client report RUN --db study.db

Ends with 1 where the file was written but is not the whole study: samples
failed, have no records, or are in none of the files.)";

struct CommandOptions {
  std::vector<std::string> files;
  std::string out;
  std::vector<std::string> run_ids;
  bool force = false;
};

absl::StatusOr<int> Merge(const CommandOptions& options,
                          const CommandContext& context) {
  const Environment& environment = context.environment;
  const Interrupt::Scope scope(context.interrupt, [] {});
  MergeOptions merge;
  merge.run_ids = options.run_ids;
  merge.overwrite = options.force;
  merge.on_message = [&](std::string_view line) {
    *environment.err << line << std::endl;
  };
  merge.stop = [&] { return context.interrupt.requested(); };
  const absl::StatusOr<std::vector<MergedRun>> runs =
      MergeFiles(options.files, options.out, merge);
  if (absl::IsCancelled(runs.status())) return kExitInterrupted;
  if (absl::IsAlreadyExists(runs.status()))
    return absl::AlreadyExistsError(
        absl::StrCat(runs.status().message(), "; --force overwrites it"));
  RETURN_IF_ERROR(runs.status());
  return ReportMerge(environment, *runs, options.out) ? kExitOk
                                                      : kExitRunFailed;
}

}  // namespace

void AddMergeCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<CommandOptions>();
  CLI::App* command =
      app.add_subcommand("merge", "Join database files of one study into one");
  command->footer(kHelp);
  command->add_option("files", options->files, "Database files to be joined")
      ->required();
  command->add_option("-o,--out", options->out, "The file to be made")
      ->required();
  command
      ->add_option("--run", options->run_ids,
                   "These runs only, by commas: where the files have runs of a "
                   "task that are not of one study")
      ->delimiter(',');
  command->add_flag("--force", options->force,
                    "Overwrite --out, where it is there");
  command->callback([options, &context] {
    context.run = [options, &context] { return Merge(*options, context); };
  });
}

}  // namespace kvrecall
