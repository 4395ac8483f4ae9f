#include "common/records_db/event_page.h"

#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "common/records_db/event_detail.h"
#include "common/records_db/lost_json.h"

namespace kvrecall {
namespace {

static_assert(std::endian::native == std::endian::little,
              "layer_recalls are copied as little-endian floats");

std::vector<float> FloatsFrom(std::string_view bytes) {
  std::vector<float> floats(bytes.size() / sizeof(float));
  if (!floats.empty()) {
    std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  }
  return floats;
}

// A page of events, whose sequences are known beforehand because a run's have
// no gaps: each table fills in its own.
class EventPage {
 public:
  EventPage(Database& database, std::string_view run_id, int64_t run,
            int64_t after, int64_t last, const EventParts& parts)
      : database_(database),
        run_id_(run_id),
        run_(run),
        after_(after),
        last_(last),
        parts_(parts) {}

  // DataLoss: an event is missing, is there twice or does not fit.
  absl::StatusOr<std::vector<Event>> Read() {
    events_.resize(static_cast<size_t>(last_ - after_));
    RETURN_IF_ERROR(ReadSteps());
    RETURN_IF_ERROR(ReadOthers());
    RETURN_IF_ERROR(ReadRecalls());
    RETURN_IF_ERROR(ReadGaps());
    for (size_t i = 0; i < events_.size(); ++i) {
      if (events_[i].sequence == 0) {
        return Broken(after_ + 1 + static_cast<int64_t>(i), "is missing");
      }
    }
    return std::move(events_);
  }

 private:
  absl::Status Broken(int64_t sequence, const char* what) const {
    return absl::DataLossError(absl::StrCat(database_.path(), ": run '",
                                            OneLine(run_id_), "': event ",
                                            sequence, " ", what));
  }

  // The queries bound the sequence, but a damaged index, or a number with a
  // fraction, gets past them.
  absl::StatusOr<Event*> At(int64_t sequence) {
    if (sequence <= after_ || sequence > last_)
      return Broken(sequence, "is not where it belongs");
    return &events_[static_cast<size_t>(sequence - after_ - 1)];
  }

  // What the step's own tables add to.
  absl::StatusOr<StepRecord*> StepAt(int64_t sequence) {
    ASSIGN_OR_RETURN(Event* const event, At(sequence));
    return std::get_if<StepRecord>(&event->body);
  }

  absl::Status ReadSteps() {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT steps.sequence, samples.sample_id, steps.attempt, step, n, "
            "token_id, token, entropy, logprob, p_max, margin, "
            "attention_entropy, attention_entropy_std "
            "FROM steps JOIN samples ON samples.id = steps.sample "
            "WHERE steps.run = ?1 AND sequence > ?2 AND sequence <= ?3 "
            "ORDER BY sequence"));
    RETURN_IF_ERROR(row.Bind(run_, after_, last_));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) return absl::OkStatus();
      ASSIGN_OR_RETURN(Event* const found, At(row.Int(0)));
      Event& event = *found;
      event.sequence = row.Int(0);
      event.sample_id = row.Text(1);
      event.attempt = row.Int(2);
      StepRecord& step = event.body.emplace<StepRecord>();
      step.step = row.Int(3);
      step.n = row.Int(4);
      step.token_id = row.Int(5);
      step.token = row.Text(6);
      step.entropy = row.Double(7);
      step.logprob = row.Double(8);
      step.p_max = row.Double(9);
      step.margin = row.Double(10);
      step.attention_entropy = row.Double(11);
      step.attention_entropy_std = row.Double(12);
    }
  }

  absl::Status ReadOthers() {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT sequence, kind, samples.sample_id, sample_events.attempt, "
            "detail FROM sample_events "
            "LEFT JOIN samples ON samples.id = sample_events.sample "
            "WHERE sample_events.run = ?1 AND sequence > ?2 "
            "AND sequence <= ?3 ORDER BY sequence"));
    RETURN_IF_ERROR(row.Bind(run_, after_, last_));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) return absl::OkStatus();
      ASSIGN_OR_RETURN(Event* const found, At(row.Int(0)));
      Event& event = *found;
      if (event.sequence != 0) return Broken(row.Int(0), "is there twice");
      event.sequence = row.Int(0);
      event.sample_id = row.Text(2);
      event.attempt = row.Int(3);
      absl::StatusOr<EventBody> body =
          EventDetailFromJson(row.Text(1), row.Text(4));
      if (!body.ok()) return Broken(row.Int(0), "cannot be read");
      event.body = *std::move(body);
    }
  }

  absl::Status ReadRecalls() {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT sequence, lane, k, recall, chance, lift, mass, mass_ratio, "
            "layer_recalls, recall_without_free_hits, drift, fetched_back, "
            "lost FROM step_recalls "
            "WHERE run = ?1 AND sequence > ?2 AND sequence <= ?3 "
            "ORDER BY sequence, lane"));
    RETURN_IF_ERROR(row.Bind(run_, after_, last_));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) return absl::OkStatus();
      ASSIGN_OR_RETURN(StepRecord* const step, StepAt(row.Int(0)));
      if (step == nullptr ||
          row.Int(1) != static_cast<int64_t>(step->recalls.size())) {
        return Broken(row.Int(0), "has recalls that do not fit");
      }
      RecallRecord& recall = step->recalls.emplace_back();
      recall.k = row.Int(2);
      recall.recall = row.Double(3);
      recall.chance = row.Double(4);
      recall.lift = row.OptionalDouble(5);
      recall.mass = row.Double(6);
      recall.mass_ratio = row.Double(7);
      recall.layer_recalls = FloatsFrom(row.Bytes(8));
      recall.recall_without_free_hits = row.OptionalDouble(9);
      recall.drift = row.OptionalDouble(10);
      recall.fetched_back = row.OptionalDouble(11);
      if (!parts_.lost || row.IsNull(12)) continue;
      absl::StatusOr<std::vector<LostPosition>> lost =
          LostFromJson(row.Text(12));
      if (!lost.ok())
        return Broken(row.Int(0), "has a recall that cannot be read");
      recall.lost = *std::move(lost);
    }
  }

  absl::Status ReadGaps() {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT sequence, gap, kl, entropy_change, logprob_change, "
            "token_id, top1_agrees FROM step_gaps "
            "WHERE run = ?1 AND sequence > ?2 AND sequence <= ?3 "
            "ORDER BY sequence, gap"));
    RETURN_IF_ERROR(row.Bind(run_, after_, last_));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) return absl::OkStatus();
      ASSIGN_OR_RETURN(StepRecord* const step, StepAt(row.Int(0)));
      if (step == nullptr ||
          row.Int(1) != static_cast<int64_t>(step->gaps.size())) {
        return Broken(row.Int(0), "has gap lanes that do not fit");
      }
      GapRecord& gap = step->gaps.emplace_back();
      gap.kl = row.Double(2);
      gap.entropy_change = row.Double(3);
      gap.logprob_change = row.Double(4);
      gap.token_id = row.Int(5);
      gap.top1_agrees = row.Int(6) != 0;
    }
  }

  Database& database_;
  const std::string_view run_id_;
  const int64_t run_;
  const int64_t after_;  // the page holds after_ + 1 … last_
  const int64_t last_;
  const EventParts parts_;
  std::vector<Event> events_;
};

}  // namespace

absl::StatusOr<std::vector<Event>> ReadEventPage(Database& database,
                                                 std::string_view run_id,
                                                 int64_t run, int64_t after,
                                                 int64_t last,
                                                 const EventParts& parts) {
  return EventPage(database, run_id, run, after, last, parts).Read();
}

}  // namespace kvrecall
