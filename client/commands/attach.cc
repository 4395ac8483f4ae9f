#include "client/commands/attach.h"

#include <string>
#include <string_view>
#include <variant>

#include "absl/strings/str_cat.h"

#include "client/export/summary_json.h"
#include "client/render/progress.h"
#include "client/render/result_table.h"
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
                                    Watcher& watcher, RunInfo run, bool json) {
  SummaryBuilder records(run.config);
  ProgressDisplay display(context.environment, run.samples_submitted,
                          run.last_sequence);
  const auto on_event = [&](const Event& event) {
    display.Add(event);
    if (const auto* end = std::get_if<RunEnd>(&event.body)) {
      run.state = end->state;
      run.samples_done = end->samples_done;
      run.samples_failed = end->samples_failed;
    }
    return records.Add(event);
  };
  const auto watched =
      watcher.Watch(run.run_id, /*after=*/0, on_event,
                    [&](std::string_view line) { display.Message(line); });
  display.Finish();
  const std::string come_back = CommandFor(context, "watch", run.run_id);
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
  run.last_sequence = records.last_sequence();
  return Report(context, run, records, json);
}

}  // namespace kvrecall
