#include "client/report/report_data.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/longbench/jsonl.h"
#include "common/record/headline.h"
#include "common/records_db/reader.h"

namespace kvrecall {
namespace {

// Where a sample's events are, first and last, of the attempt that counts.
struct Place {
  int64_t attempt = 0;
  int64_t first = 0, last = 0;
};

class Gathering {
 public:
  Gathering(RecordsReader& reader, RunInfo run)
      : reader_(reader),
        run_(std::move(run)),
        table_(run_.config),
        summary_(run_.config),
        tokens_(run_.config, HeadlineOf(run_.config).scope) {}

  absl::StatusOr<ReportData> Run(int64_t shown) {
    RETURN_IF_ERROR(FindSamples(shown));
    RETURN_IF_ERROR(
        ForEach(0, run_.last_sequence, {.lost = false},
                [this](const Event& event) { return TakeNumbers(event); }));
    for (const auto& [id, place] : places_) {
      // Begun while a server that goes on writing was read.
      if (place.first == 0) continue;
      RETURN_IF_ERROR(ForEach(place.first - 1, place.last, {},
                              [this, attempt = place.attempt](const Event& e) {
                                tokens_.Add(e, attempt);
                                return absl::OkStatus();
                              }));
    }
    ASSIGN_OR_RETURN(RunTable table, table_.Build());
    if (table.steps() == 0)
      return absl::FailedPreconditionError(
          "the run has no steps yet; there is nothing to report");
    ASSIGN_OR_RETURN(RunSummary summary, summary_.Summarize());
    return ReportData{std::move(run_),    std::move(table),
                      std::move(summary), std::move(tokens_),
                      samples_,           std::ssize(places_)};
  }

 private:
  // Those that have records, in the order in which they were submitted.
  absl::Status FindSamples(int64_t shown) {
    constexpr int kPage = 1000;
    for (int64_t after = 0;;) {
      ASSIGN_OR_RETURN(const std::vector<SampleInfo> page,
                       reader_.ListSamples(run_.run_id, after, kPage));
      for (const SampleInfo& sample : page) {
        if (sample.attempt == 0) continue;
        if (++samples_ > shown) continue;
        places_[sample.sample_id].attempt = sample.attempt;
        ASSIGN_OR_RETURN(const std::string input,
                         reader_.GetSampleInput(run_.run_id, sample.sample_id));
        absl::StatusOr<Sample> parsed = ParseSample(input);
        if (!parsed.ok())
          return absl::DataLossError(absl::StrCat(
              "sample ", sample.sample_id, ": ", parsed.status().message()));
        tokens_.AddSample(*parsed);
      }
      if (page.size() < kPage) return absl::OkStatus();
      after = page.back().ordinal;
    }
  }

  absl::Status TakeNumbers(const Event& event) {
    if (const auto place = places_.find(event.sample_id);
        place != places_.end() && place->second.attempt == event.attempt) {
      Place& at = place->second;
      if (at.first == 0) at.first = event.sequence;
      at.last = event.sequence;
    }
    RETURN_IF_ERROR(table_.Add(event));
    return summary_.Add(event);
  }

  absl::Status ForEach(int64_t after, int64_t last, const EventParts& parts,
                       const std::function<absl::Status(const Event&)>& visit) {
    constexpr int kPage = 1000;
    while (after < last) {
      const int64_t wanted = std::min<int64_t>(kPage, last - after);
      ASSIGN_OR_RETURN(const std::vector<Event> events,
                       reader_.ReadAfter(run_.run_id, after,
                                         static_cast<int>(wanted), parts));
      if (events.empty()) break;
      for (const Event& event : events) RETURN_IF_ERROR(visit(event));
      after = events.back().sequence;
    }
    return absl::OkStatus();
  }

  RecordsReader& reader_;
  RunInfo run_;
  RunTableBuilder table_;
  SummaryBuilder summary_;
  TokenMap tokens_;
  std::map<std::string, Place> places_;  // of the samples to be shown
  int64_t samples_ = 0;
};

}  // namespace

absl::StatusOr<ReportData> ReadReportData(const std::string& database,
                                          const std::string& run_id,
                                          int64_t shown) {
  ASSIGN_OR_RETURN(const std::unique_ptr<RecordsReader> reader,
                   RecordsReader::Open(database));
  ASSIGN_OR_RETURN(RunInfo run, reader->GetRun(run_id));
  return Gathering(*reader, std::move(run)).Run(shown);
}

}  // namespace kvrecall
