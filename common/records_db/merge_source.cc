#include "common/records_db/merge_source.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/base/digest.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/records_db/event_page.h"
#include "common/records_db/records_digest.h"
#include "common/records_db/schema.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

constexpr int64_t kEventsPerPage = 1000;

absl::Status NotWhole(const Database& database, const SourceRun& run,
                      const std::string& what) {
  return absl::DataLossError(absl::StrCat(
      database.path(), ": run ", OneLine(run.info.run_id), ": ", what));
}

// The records of one sample's last attempt as they come by.
class Records {
 public:
  void Add(const Event& event) {
    digest_.Add(event);
    ++events_;
    ends_ = std::holds_alternative<SampleResult>(event.body) ||
            std::holds_alternative<SampleFailure>(event.body);
    if (std::holds_alternative<StepRecord>(event.body)) ++steps_;
    if (std::holds_alternative<SampleStart>(event.body)) ++starts_;
    if (const auto* result = std::get_if<SampleResult>(&event.body))
      generated_ = result->generated_tokens;
  }

  // Whether they are all there: of a sample that is done a start, a step for
  // each token, and the end; of one that failed at least its end.
  bool IsWhole(SampleState state) const {
    if (!ends_ || starts_ > 1) return false;
    if (state != SampleState::kDone) return generated_ < 0;
    return starts_ == 1 && steps_ == generated_ && events_ == steps_ + 2;
  }

  int64_t events() const { return events_; }
  std::string HexDigest() { return digest_.HexDigest(); }

 private:
  RecordsDigest digest_;
  int64_t events_ = 0, steps_ = 0, starts_ = 0;
  int64_t generated_ = -1;  // tokens; -1: nobody said
  bool ends_ = false;       // the last event so far ends the sample
};

absl::Status ReadSamples(Database& database, SourceRun& run) {
  ASSIGN_OR_RETURN(
      Statement row,
      database.Prepare(
          "SELECT samples.id, sample_id, ordinal, state, recorded_attempt, "
          "reused_from IS NOT NULL, ended_us, payload FROM samples "
          "JOIN sample_inputs ON sample_inputs.sample = samples.id "
          "WHERE run = ?1 ORDER BY ordinal"));
  RETURN_IF_ERROR(row.Bind(run.key));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) break;
    SourceSample& sample = run.samples.emplace_back();
    sample.key = row.Int(0);
    sample.sample_id = row.Text(1);
    sample.ordinal = row.Int(2);
    ASSIGN_OR_RETURN(sample.state, ParseSampleState(row.Text(3)));
    sample.attempt = row.Int(4);
    sample.is_reused = row.Int(5) != 0;
    if (!row.IsNull(6)) sample.ended_us = row.Int(6);
    sample.input_digest = Sha256Hex(row.Text(7));
  }
  const auto count = [&](SampleState state) {
    return std::count_if(
        run.samples.begin(), run.samples.end(),
        [&](const SourceSample& sample) { return sample.state == state; });
  };
  if (std::ssize(run.samples) == run.info.samples_submitted &&
      count(SampleState::kDone) == run.info.samples_done &&
      count(SampleState::kFailed) == run.info.samples_failed)
    return absl::OkStatus();
  return NotWhole(
      database, run,
      absl::StrCat("has ", run.samples.size(), " samples, ",
                   count(SampleState::kDone), " done and ",
                   count(SampleState::kFailed), " failed, and says ",
                   run.info.samples_submitted, ", ", run.info.samples_done,
                   " and ", run.info.samples_failed));
}

absl::Status ReadRecords(Database& database, SourceRun& run,
                         const std::function<bool()>& stop) {
  std::unordered_map<std::string, std::pair<SourceSample*, Records>> records;
  for (SourceSample& sample : run.samples)
    if (sample.has_records()) records[sample.sample_id].first = &sample;
  const int64_t last = run.info.last_sequence;
  for (int64_t after = 0; after < last;) {
    if (stop && stop()) return absl::CancelledError("stopped");
    const int64_t end = std::min(last, after + kEventsPerPage);
    ASSIGN_OR_RETURN(const std::vector<Event> events,
                     ReadEventPage(database, run.info.run_id, run.key, after,
                                   end, EventParts{}));
    after = end;
    for (const Event& event : events) {
      const auto found = records.find(event.sample_id);
      if (found != records.end() &&
          found->second.first->attempt == event.attempt)
        found->second.second.Add(event);
    }
  }
  for (auto& [id, entry] : records) {
    auto& [sample, its] = entry;
    if (!its.IsWhole(sample->state))
      return NotWhole(database, run,
                      absl::StrCat("the records of sample '", OneLine(id),
                                   "' are not whole"));
    sample->events = its.events();
    sample->records_digest = its.HexDigest();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> RunNames(Database& database) {
  std::vector<std::string> names;
  ASSIGN_OR_RETURN(Statement row,
                   database.Prepare("SELECT run_id FROM runs ORDER BY id"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return names;
    names.emplace_back(row.Text(0));
  }
}

}  // namespace

absl::StatusOr<SourceFile> ReadSourceFile(
    const std::string& path, const std::vector<std::string>& run_ids,
    const std::function<bool()>& stop) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> database,
                   OpenForReading(path));
  SourceFile file;
  file.path = path;
  RETURN_IF_ERROR(
      InTransaction(*database, TransactionKind::kRead, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<std::string> names,
                         RunNames(*database));
        for (const std::string& name : names) {
          if (!run_ids.empty() &&
              std::find(run_ids.begin(), run_ids.end(), name) == run_ids.end())
            continue;
          SourceRun& run = file.runs.emplace_back();
          ASSIGN_OR_RETURN(run.info, ReadRun(*database, name));
          ASSIGN_OR_RETURN(run.key,
                           database->QueryInt(
                               "SELECT id FROM runs WHERE run_id = ?1", name));
          RETURN_IF_ERROR(ReadSamples(*database, run));
          RETURN_IF_ERROR(ReadRecords(*database, run, stop));
        }
        return absl::OkStatus();
      }));
  return file;
}

}  // namespace kvrecall
