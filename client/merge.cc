#include "client/merge.h"

#include <cstdint>

#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

std::string Counted(int64_t count, const char* thing) {
  return absl::StrCat(count, " ", thing, count == 1 ? "" : "s");
}

std::string Describe(const MergedRun& run) {
  const RunInfo& info = run.info;
  const int64_t missing =
      info.samples_submitted - info.samples_done - info.samples_failed;
  std::string text = absl::StrCat(
      "run ", info.run_id, ": task ", info.config.task, ", ",
      Counted(info.samples_submitted, "sample"), " from ",
      Counted(run.files, "file"), ", ", info.samples_done, " done");
  if (info.samples_failed > 0)
    absl::StrAppend(&text, ", ", info.samples_failed, " failed");
  if (missing > 0)
    absl::StrAppend(&text, ", ", missing, " without records in any file");
  if (run.repeated > 0)
    absl::StrAppend(&text, "; ", Counted(run.repeated, "sample"),
                    " there more than once, taken once");
  if (run.absent > 0)
    absl::StrAppend(&text, "; ", Counted(run.absent, "sample"),
                    " of the study in none of the files");
  return text;
}

bool IsWhole(const MergedRun& run) {
  return run.info.samples_done == run.info.samples_submitted && run.absent == 0;
}

}  // namespace

bool ReportMerge(const Environment& environment,
                 const std::vector<MergedRun>& runs, const std::string& file) {
  bool is_whole = true;
  for (const MergedRun& run : runs) {
    *environment.err << Describe(run) << std::endl;
    *environment.out << run.info.run_id << std::endl;
    is_whole = is_whole && IsWhole(run);
  }
  if (!is_whole)
    *environment.err << file << ": is not the whole study; once the rest is "
                     << "there, merge again" << std::endl;
  if (!runs.empty())
    *environment.err << "read it with: kvrecall-client analyze "
                     << runs.back().info.run_id << " --db " << file
                     << std::endl;
  return is_whole;
}

}  // namespace kvrecall
