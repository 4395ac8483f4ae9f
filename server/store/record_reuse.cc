#include "server/store/record_reuse.h"

#include <cstdint>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/records_db/event_page.h"

namespace kvrecall {
namespace {

// A finished sample, and where its events are.
struct Source {
  int64_t run = 0;
  std::string run_id, sample_id;
  int64_t attempt = 0;
  int64_t first = 0, last = 0;  // sequences, among which others' may be
};

absl::StatusOr<bool> FindSource(Database& database, const LeaseKey& key,
                                Source& source) {
  ASSIGN_OR_RETURN(
      Statement row,
      database.Prepare(
          "SELECT other.run, runs.run_id, other.sample_id, "
          "other.recorded_attempt, min(sequence), max(sequence) "
          "FROM samples AS mine "
          "JOIN runs AS my_run ON my_run.id = mine.run AND my_run.may_reuse "
          "JOIN samples AS other ON other.record_key = mine.record_key "
          "  AND other.state = 'done' "
          "JOIN runs ON runs.id = other.run "
          "JOIN sample_events ON sample_events.run = other.run "
          "  AND sample_events.sample = other.id "
          "  AND sample_events.attempt = other.recorded_attempt "
          "WHERE mine.id = ?1 AND mine.record_key IS NOT NULL "
          "GROUP BY other.id ORDER BY other.id LIMIT 1"));
  RETURN_IF_ERROR(row.Bind(key.sample));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) return false;
  source = {row.Int(0),
            std::string(row.Text(1)),
            std::string(row.Text(2)),
            row.Int(3),
            row.Int(4),
            row.Int(5)};
  return true;
}

}  // namespace

std::string RecordKey(std::string_view config, std::string_view provenance,
                      std::string_view sample_digest) {
  Sha256 digest;
  digest.AddField(config);
  digest.AddField(provenance);
  digest.AddField(sample_digest);
  return digest.HexDigest();
}

absl::StatusOr<bool> ReuseRecords(Database& database, EventLog& log,
                                  const LeaseKey& key, absl::Time now,
                                  Changes& changes) {
  Source source;
  ASSIGN_OR_RETURN(const bool found, FindSource(database, key, source));
  if (!found) return false;
  absl::StatusOr<std::vector<Event>> page =
      ReadEventPage(database, source.run_id, source.run, source.first - 1,
                    source.last, EventParts{});
  // Records that cannot be read stand for nothing; the sample is run, and the
  // queue goes on.
  if (!page.ok()) return false;
  std::vector<Event> events;
  for (Event& event : *page) {
    if (event.sample_id != source.sample_id || event.attempt != source.attempt)
      continue;
    if (auto* start = std::get_if<SampleStart>(&event.body);
        start != nullptr && start->reused_from.empty())
      start->reused_from = source.run_id;
    events.push_back(std::move(event));
  }
  RETURN_IF_ERROR(
      log.Append(key, /*config=*/nullptr,
                 std::make_shared<const std::vector<Event>>(std::move(events)),
                 now, changes));
  changes.ended.reused += 1;
  return true;
}

}  // namespace kvrecall
