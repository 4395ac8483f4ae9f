#include "client/commands/attach.h"

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "client/export/summary_json.h"
#include "client/render/progress.h"
#include "client/render/result_table.h"
#include "client/sample_owners.h"
#include "client/watcher.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// Only an end that yielded everything is a success. A run that goes on is none
// of this program's failures.
int ExitCodeOf(const RunInfo& run) {
  const bool failed =
      IsTerminal(run.state) && run.state != RunState::kSucceeded;
  return failed ? kExitRunFailed : kExitOk;
}

}  // namespace

absl::StatusOr<int> Report(const CommandContext& context, const RunInfo& run,
                           const SummaryBuilder& records, bool json) {
  ASSIGN_OR_RETURN(const RunSummary summary, records.Summarize());
  std::ostream& out = *context.environment.out;
  if (json) {
    out << SummaryToJson(run, summary)
               .dump(2, ' ', false,
                     nlohmann::ordered_json::error_handler_t::replace)
        << std::endl;
  } else {
    out << "Run " << run.run_id << ": " << RunStateName(run.state) << ", task "
        << run.config.task << ", model " << run.provenance.model << " ("
        << run.provenance.dtype << ", " << run.provenance.device << ")\n\n"
        << RenderResult(summary) << std::flush;
  }
  for (const SampleProblem& problem : summary.problems) {
    *context.environment.err << "sample " << problem.sample_id
                             << " failed: " << problem.reason << ": "
                             << problem.message << "\n";
  }
  return ExitCodeOf(run);
}

absl::StatusOr<int> AttachAndReport(const CommandContext& context,
                                    GroupWatcher& watcher,
                                    std::vector<PlacedRun> runs, bool json) {
  ASSIGN_OR_RETURN(const RunInfo before, JoinRuns(runs));
  // Of each run its own, so that the result does not follow from who was
  // faster.
  std::vector<SummaryBuilder> records(runs.size(),
                                      SummaryBuilder(before.config));
  SampleOwners owners;
  ProgressDisplay display(context.environment, before.samples_submitted);
  const auto on_event = [&](size_t i, const Event& event) -> absl::Status {
    RunInfo& run = runs[i].info;
    display.Add(event, event.sequence > run.last_sequence);
    if (const auto* end = std::get_if<RunEnd>(&event.body)) {
      run.state = end->state;
      run.samples_done = end->samples_done;
      run.samples_failed = end->samples_failed;
    } else {
      RETURN_IF_ERROR(owners.Claim(event.sample_id, i));
    }
    return records[i].Add(event);
  };
  const auto watched = watcher.Watch(
      on_event, [&](std::string_view line) { display.Message(line); });
  display.Finish();
  const std::string come_back = CommandFor(context, "watch", before.run_id);
  if (!watched.ok()) {
    return absl::Status(watched.status().code(),
                        absl::StrCat(watched.status().message(),
                                     "; come back with: ", come_back));
  }
  if (*watched == Watcher::End::kDetached) {
    *context.environment.err
        << "detached; the run goes on. Come back with: " << come_back
        << std::endl;
    return kExitInterrupted;
  }
  for (size_t i = 0; i < runs.size(); ++i)
    runs[i].info.last_sequence = records[i].last_sequence();
  ASSIGN_OR_RETURN(const RunInfo after, JoinRuns(runs));
  for (size_t i = 1; i < records.size(); ++i)
    records.front().Append(std::move(records[i]));
  return Report(context, after, records.front(), json);
}

}  // namespace kvrecall
