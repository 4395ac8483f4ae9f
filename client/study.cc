#include "client/study.h"

#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/longbench/shard.h"

namespace kvrecall {
namespace {

BatchLimits LimitsOf(const v1::ServerInfo& server) {
  BatchLimits limits;
  if (server.max_samples_per_call() > 0) {
    limits.samples = server.max_samples_per_call();
  }
  if (server.max_message_bytes() > 0) {
    limits.bytes = server.max_message_bytes();
  }
  return limits;
}

}  // namespace

absl::StatusOr<std::vector<StudyPart>> DivideStudy(
    const std::vector<std::shared_ptr<const Connection>>& servers,
    std::vector<Sample> samples) {
  std::vector<StudyPart> all(servers.size());
  std::vector<std::string> places;
  for (size_t i = 0; i < servers.size(); ++i) {
    all[i].server = servers[i];
    places.push_back(servers[i]->address());
  }
  for (Sample& sample : samples) {
    ASSIGN_OR_RETURN(const std::string digest, SampleDigest(sample));
    all[PlaceOf(digest, places)].samples.push_back(std::move(sample));
  }
  std::vector<StudyPart> parts;
  for (StudyPart& part : all) {
    ASSIGN_OR_RETURN(const v1::ServerInfo server, part.server->GetServerInfo());
    if (part.samples.empty()) continue;
    ASSIGN_OR_RETURN(part.batches, MakeBatches(part.samples, LimitsOf(server)));
    parts.push_back(std::move(part));
  }
  return parts;
}

absl::Status CreateRuns(std::vector<StudyPart>& parts,
                        const std::string& request_id, const RunConfig& config,
                        bool reuse_records, absl::Duration time_limit) {
  for (StudyPart& part : parts) {
    ASSIGN_OR_RETURN(
        part.run,
        part.server->CreateRun(request_id, config, reuse_records, time_limit));
  }
  return JoinRuns(RunsOf(parts)).status();
}

void CancelRuns(const std::vector<StudyPart>& parts) {
  // What went wrong before is what counts.
  for (const StudyPart& part : parts)
    if (!part.run.run_id.empty())
      part.server->CancelRun(part.run.run_id).status().IgnoreError();
}

absl::StatusOr<SubmitReport> SubmitParts(
    std::vector<StudyPart>& parts,
    const std::function<void(std::string_view)>& on_message,
    const SubmitPolicy& policy) {
  std::mutex mutex;
  std::vector<absl::StatusOr<SubmitReport>> reports(parts.size(),
                                                    SubmitReport());
  const auto submit = [&](size_t i) {
    StudyPart& part = parts[i];
    reports[i] = SubmitBatches(
        *part.server, part.run.run_id, std::move(part.batches),
        [&](std::string_view line) {
          std::lock_guard lock(mutex);
          on_message(parts.size() == 1 ? std::string(line)
                                       : absl::StrCat(part.server->address(),
                                                      ": ", std::string(line)));
        },
        policy);
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < parts.size(); ++i) threads.emplace_back(submit, i);
  submit(0);
  for (std::thread& thread : threads) thread.join();

  SubmitReport sum;
  for (size_t i = 0; i < parts.size(); ++i) {
    RETURN_IF_ERROR(reports[i].status());
    SubmitReport& report = *reports[i];
    parts[i].run.samples_submitted = report.accepted + report.duplicates;
    parts[i].run.complete = true;
    sum.accepted += report.accepted;
    sum.duplicates += report.duplicates;
    std::move(report.refusals.begin(), report.refusals.end(),
              std::back_inserter(sum.refusals));
  }
  return sum;
}

std::vector<PlacedRun> RunsOf(const std::vector<StudyPart>& parts) {
  std::vector<PlacedRun> runs;
  for (const StudyPart& part : parts) runs.push_back({part.server, part.run});
  return runs;
}

}  // namespace kvrecall
