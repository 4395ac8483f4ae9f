#include "client/commands/submit.h"

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/commands/attach.h"
#include "client/commands/submit_options.h"
#include "client/export/json_lines.h"
#include "client/group_watcher.h"
#include "client/placed_run.h"
#include "client/study.h"
#include "client/submitter.h"
#include "common/base/status_macros.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

// A policy has no rows in a scope that it is not defined in. Where the run has
// others it goes on without a word of the server's.
void TellMissingScopes(const RunConfig& config, std::ostream& err) {
  for (const PolicySpec& policy : config.policies) {
    std::vector<std::string> missing;
    for (const Scope scope : config.scopes) {
      if (!IsDefinedIn(policy, scope)) missing.emplace_back(ScopeName(scope));
    }
    if (missing.empty()) continue;
    err << policy.ToString() << " is not defined in scope "
        << absl::StrJoin(missing, ", ")
        << " and has no rows there; the other scopes have it" << std::endl;
  }
}

void TellRuns(const std::vector<StudyPart>& parts, const std::string& task,
              std::ostream& err) {
  for (const StudyPart& part : parts)
    err << "run " << part.run.run_id << ": " << part.samples.size()
        << " samples of " << task
        << (parts.size() == 1 ? ""
                              : absl::StrCat(" at ", part.server->address()))
        << std::endl;
}

void PrintDetached(const CommandContext& context, const RunInfo& run,
                   bool json) {
  // The name alone, or the run as an export has it, for a script to take up.
  *context.environment.out << (json ? RunLine(run) : run.run_id + "\n")
                           << std::flush;
  *context.environment.err << "follow it with: "
                           << CommandFor(context, "watch", run.run_id)
                           << std::endl;
}

absl::StatusOr<int> Submit(const SubmitOptions& options,
                           const CommandContext& context) {
  std::ostream& err = *context.environment.err;
  const auto tell = [&err](std::string_view line) { err << line << std::endl; };
  ASSIGN_OR_RETURN(SubmitRequest request,
                   ReadSubmitRequest(options, context.environment));
  const RunConfig& config = request.config;
  if (request.samples.empty()) {
    tell(absl::StrCat("shard ", options.shard, " of ", config.task,
                      " has no samples; nothing is to be done"));
    return kExitOk;
  }
  ASSIGN_OR_RETURN(const auto servers, ConnectAll(context.server));
  ASSIGN_OR_RETURN(std::vector<StudyPart> parts,
                   DivideStudy(servers, std::move(request.samples)));
  TellMissingScopes(config, err);
  const bool is_named = !options.request_id.empty();
  const absl::Status created =
      CreateRuns(parts, is_named ? options.request_id : NewRequestId(), config,
                 !options.fresh, request.time_limit);
  // Those of a name of the user's own may have been there before, and the next
  // call goes on with them.
  if (!created.ok() && !is_named) CancelRuns(parts);
  RETURN_IF_ERROR(created);
  TellRuns(parts, config.task, err);

  // Half-submitted runs would wait for the rest for ever, so an interrupt
  // lets the (short) submission end first.
  GroupWatcher watcher(RunsOf(parts));
  std::atomic<bool> submitting = true;
  const Interrupt::Scope scope(context.interrupt, [&] {
    if (submitting)
      tell(
          "detaching as soon as all samples are submitted; once more ends the "
          "program at once");
    watcher.Detach();
  });
  const auto submitted = SubmitParts(
      parts, tell, {.stopped = [&] { return context.interrupt.requested(); }});
  submitting = false;
  ASSIGN_OR_RETURN(const RunInfo run, JoinRuns(RunsOf(parts)));
  if (!submitted.ok()) {
    return absl::Status(
        submitted.status().code(),
        absl::StrCat(
            submitted.status().message(), "; the run is incomplete, ",
            "end it with: ", CommandFor(context, "cancel", run.run_id)));
  }
  for (const std::string& refusal : submitted->refusals)
    tell("refused: " + refusal);
  const int refused = submitted->refusals.empty() ? kExitOk : kExitRunFailed;
  if (options.detach) {
    PrintDetached(context, run, options.json);
    return refused;
  }
  ASSIGN_OR_RETURN(
      const int exit_code,
      AttachAndReport(context, watcher, RunsOf(parts), options.json));
  return exit_code == kExitOk ? refused : exit_code;
}

}  // namespace

void AddSubmitCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<SubmitOptions>();
  CLI::App* command =
      app.add_subcommand("submit", "Run a task's samples and show the result");
  AddSubmitOptions(*command, *options);
  command->callback([options, &context] {
    context.run = [options, &context] { return Submit(*options, context); };
  });
}

}  // namespace kvrecall
