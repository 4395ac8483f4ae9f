#include "common/records_db/merge_plan.h"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/record/run_difference.h"
#include "common/record/run_id_text.h"

namespace kvrecall {
namespace {

// The greater, the better; what is better stands for the sample.
int Rank(const SourceSample& sample) {
  if (sample.state == SampleState::kDone) return sample.is_reused ? 2 : 3;
  return sample.state == SampleState::kFailed ? 1 : 0;
}

std::string NameOf(const SourceFile& file, const SourceRun& run) {
  return absl::StrCat("run ", OneLine(run.info.run_id), " of ", file.path);
}

// One study in the making.
class Study {
 public:
  Study(const SourceFile& file, const SourceRun& run)
      : first_(NameOf(file, run)) {
    run_.info = run.info;
    run_.info.end_time.reset();
  }

  const std::string& task() const { return run_.info.config.task; }

  absl::Status Add(const std::vector<SourceFile>& files, size_t index,
                   const SourceRun& run) {
    const SourceFile& file = files[index];
    const std::string difference = RunDifference(run_.info, run.info);
    if (!difference.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          first_, " and ", NameOf(file, run), " are of task ", task(),
          " and differ in ", difference,
          "; only runs that were made alike are joined: leave a file out, or "
          "name the runs with --run"));
    }
    run_.origins.push_back({index, run.key});
    RunInfo& info = run_.info;
    info.create_time = std::min(info.create_time, run.info.create_time);
    if (run.info.owner != info.owner) info.owner.clear();
    Ended(run.info.end_time);
    for (const SourceSample& sample : run.samples) {
      if (sample.ended_us) Ended(absl::FromUnixMicros(*sample.ended_us));
      RETURN_IF_ERROR(AddSample(files, index, sample));
    }
    return absl::OkStatus();
  }

  PlannedRun Finish() {
    GivePlaces();
    RunInfo& info = run_.info;
    if (run_.origins.size() > 1) info.run_id = JoinedName();
    info.complete = true;
    info.deadline.reset();
    if (!info.end_time) info.end_time = info.create_time;
    info.samples_submitted = std::ssize(run_.samples);
    info.samples_done = Count(SampleState::kDone);
    info.samples_failed = Count(SampleState::kFailed);
    info.last_sequence = 1;  // the run's end
    for (const PlannedSample& sample : run_.samples)
      info.last_sequence += sample.source.events;
    info.state = State();
    return std::move(run_);
  }

 private:
  void Ended(std::optional<absl::Time> time) {
    if (!time) return;
    std::optional<absl::Time>& end = run_.info.end_time;
    end = std::max(end.value_or(*time), *time);
  }

  absl::Status AddSample(const std::vector<SourceFile>& files, size_t index,
                         const SourceSample& sample) {
    const auto [found, is_new] =
        places_.try_emplace(sample.sample_id, run_.samples.size());
    if (is_new) {
      run_.samples.push_back({index, sample});
      return absl::OkStatus();
    }
    PlannedSample& known = run_.samples[found->second];
    const auto differ = [&](const char* what) {
      return absl::InvalidArgumentError(
          absl::StrCat("sample '", OneLine(sample.sample_id), "' of task ",
                       task(), " has ", what, " in ", files[index].path,
                       " than in ", files[known.file].path));
    };
    if (sample.input_digest != known.source.input_digest)
      return differ("another text");
    if (sample.state == SampleState::kDone &&
        known.source.state == SampleState::kDone &&
        sample.records_digest != known.source.records_digest)
      return differ("other records");
    ++run_.repeated;
    if (Rank(sample) <= Rank(known.source)) return absl::OkStatus();
    const int64_t ordinal = known.source.ordinal;
    known = {index, sample};
    known.source.ordinal = ordinal;
    return absl::OkStatus();
  }

  // Each place to the first that has it; the rest come behind.
  void GivePlaces() {
    std::unordered_set<int64_t> taken;
    std::vector<PlannedSample*> rest;
    int64_t last = 0;
    for (PlannedSample& sample : run_.samples) {
      last = std::max(last, sample.source.ordinal);
      if (!taken.insert(sample.source.ordinal).second) rest.push_back(&sample);
    }
    for (PlannedSample* sample : rest) sample->source.ordinal = ++last;
    std::sort(run_.samples.begin(), run_.samples.end(),
              [](const PlannedSample& a, const PlannedSample& b) {
                return a.source.ordinal < b.source.ordinal;
              });
    for (PlannedSample& sample : run_.samples) {
      if (sample.source.has_records()) continue;
      sample.source.state = SampleState::kCancelled;
      sample.source.attempt = 0;
    }
  }

  // The same for the same study, however often and in whatever order its files
  // are merged.
  std::string JoinedName() const {
    const std::string digest = StudyDigest(run_.info);
    std::array<uint8_t, kRunIdDigits> digits;
    for (int i = 0; i < kRunIdDigits; ++i)
      digits[i] = static_cast<uint8_t>(
          std::stoi(digest.substr(2 * i, 2), nullptr, 16) & 31);
    return RunIdText(absl::ToUnixMillis(run_.info.create_time), digits);
  }

  int64_t Count(SampleState state) const {
    return std::count_if(run_.samples.begin(), run_.samples.end(),
                         [state](const PlannedSample& sample) {
                           return sample.source.state == state;
                         });
  }

  RunState State() const {
    const RunInfo& info = run_.info;
    if (info.samples_done + info.samples_failed < info.samples_submitted)
      return RunState::kCancelled;
    if (info.samples_failed == 0) return RunState::kSucceeded;
    return info.samples_done == 0 ? RunState::kFailed
                                  : RunState::kPartiallyFailed;
  }

  std::string first_;  // the run that others must be like
  PlannedRun run_;
  std::unordered_map<std::string, size_t> places_;  // in run_.samples, by id
};

}  // namespace

absl::StatusOr<std::vector<PlannedRun>> PlanMerge(
    const std::vector<SourceFile>& files) {
  std::vector<Study> studies;
  for (size_t index = 0; index < files.size(); ++index) {
    for (const SourceRun& run : files[index].runs) {
      auto study =
          std::find_if(studies.begin(), studies.end(), [&](const Study& known) {
            return known.task() == run.info.config.task;
          });
      if (study == studies.end())
        study = studies.emplace(studies.end(), files[index], run);
      RETURN_IF_ERROR(study->Add(files, index, run));
    }
  }
  std::vector<PlannedRun> runs;
  for (Study& study : studies) runs.push_back(study.Finish());
  std::sort(runs.begin(), runs.end(),
            [](const PlannedRun& a, const PlannedRun& b) {
              return std::pair(a.info.create_time, a.info.run_id) <
                     std::pair(b.info.create_time, b.info.run_id);
            });
  return runs;
}

}  // namespace kvrecall
