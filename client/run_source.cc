#include "client/run_source.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>
#include <variant>

#include "client/connection.h"
#include "client/placed_run.h"
#include "client/sample_owners.h"
#include "common/base/status_macros.h"
#include "common/records_db/reader.h"

namespace kvrecall {
namespace {

// Of one server, or of several that share studies: the runs of a study are one
// run here, their events one behind the other.
class ServerSource final : public RunSource {
 public:
  using Servers = std::vector<std::shared_ptr<const Connection>>;
  explicit ServerSource(Servers servers) : servers_(std::move(servers)) {}

  absl::StatusOr<RunInfo> GetRun(const std::string& run_id) override {
    ASSIGN_OR_RETURN(std::vector<PlacedRun> runs, FindRuns(servers_, run_id));
    ASSIGN_OR_RETURN(RunInfo joined, JoinRuns(runs));
    found_[run_id] = std::move(runs);
    return joined;
  }

  absl::StatusOr<std::vector<RunInfo>> ListRuns(int64_t limit) override {
    std::vector<RunInfo> all;
    for (const auto& server : servers_) {
      ASSIGN_OR_RETURN(std::vector<RunInfo> runs, server->ListRuns(limit));
      std::move(runs.begin(), runs.end(), std::back_inserter(all));
    }
    if (servers_.size() == 1) return all;
    std::stable_sort(all.begin(), all.end(),
                     [](const RunInfo& a, const RunInfo& b) {
                       return a.create_time > b.create_time;
                     });
    if (std::ssize(all) > limit) all.resize(static_cast<size_t>(limit));
    return all;
  }

  absl::Status ReadRecords(
      const std::string& run_id, int64_t last_sequence, const EventParts&,
      const std::function<absl::Status(const Event&)>& visit) override {
    // As they were when the run was asked for, which says what the last is.
    if (!found_.count(run_id)) RETURN_IF_ERROR(GetRun(run_id).status());
    const std::vector<PlacedRun>& runs = found_[run_id];
    if (runs.size() == 1)
      return runs.front().connection->ReadRecords(runs.front().info.run_id,
                                                  last_sequence, visit);
    return ReadJoined(runs, last_sequence, visit);
  }

 private:
  static absl::Status ReadJoined(
      const std::vector<PlacedRun>& runs, int64_t last_sequence,
      const std::function<absl::Status(const Event&)>& visit) {
    SampleOwners owners;
    int64_t sequence = 0;
    const auto pass_on = [&](Event event) {
      event.sequence = ++sequence;
      return sequence <= last_sequence ? visit(event) : absl::OkStatus();
    };
    for (size_t i = 0; i < runs.size(); ++i) {
      const PlacedRun& run = runs[i];
      RETURN_IF_ERROR(run.connection->ReadRecords(
          run.info.run_id, run.info.last_sequence,
          [&](const Event& event) -> absl::Status {
            if (std::holds_alternative<RunEnd>(event.body))
              return absl::OkStatus();
            RETURN_IF_ERROR(owners.Claim(event.sample_id, i));
            return pass_on(event);
          }));
    }
    ASSIGN_OR_RETURN(const RunInfo joined, JoinRuns(runs));
    if (!IsTerminal(joined.state)) return absl::OkStatus();
    return pass_on(
        {0, "", 1,
         RunEnd{joined.state, joined.samples_done, joined.samples_failed}});
  }

  const Servers servers_;
  std::map<std::string, std::vector<PlacedRun>> found_;  // by name
};

class DatabaseSource final : public RunSource {
 public:
  explicit DatabaseSource(std::unique_ptr<RecordsReader> reader)
      : reader_(std::move(reader)) {}

  absl::StatusOr<RunInfo> GetRun(const std::string& run_id) override {
    return reader_->GetRun(run_id);
  }
  absl::StatusOr<std::vector<RunInfo>> ListRuns(int64_t limit) override {
    constexpr int64_t kPage = 1000;
    std::vector<RunInfo> runs;
    std::string token;
    do {
      const int64_t wanted = std::min<int64_t>(limit - std::ssize(runs), kPage);
      if (wanted <= 0) break;
      ASSIGN_OR_RETURN(auto page,
                       reader_->ListRuns(static_cast<int>(wanted), token));
      std::move(page.first.begin(), page.first.end(), std::back_inserter(runs));
      token = std::move(page.second);
    } while (!token.empty());
    return runs;
  }
  absl::Status ReadRecords(
      const std::string& run_id, int64_t last_sequence, const EventParts& parts,
      const std::function<absl::Status(const Event&)>& visit) override {
    constexpr int kPage = 1000;
    for (int64_t after = 0; after < last_sequence;) {
      ASSIGN_OR_RETURN(const std::vector<Event> events,
                       reader_->ReadAfter(run_id, after, kPage, parts));
      if (events.empty()) break;
      for (const Event& event : events) {
        if (event.sequence > last_sequence) return absl::OkStatus();
        RETURN_IF_ERROR(visit(event));
      }
      after = events.back().sequence;
    }
    return absl::OkStatus();
  }

 private:
  const std::unique_ptr<RecordsReader> reader_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RunSource>> OpenRunSource(
    const ServerChoice& server, const std::string& database) {
  if (database.empty()) {
    ASSIGN_OR_RETURN(ServerSource::Servers servers, ConnectAll(server));
    return std::make_unique<ServerSource>(std::move(servers));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<RecordsReader> reader,
                   RecordsReader::Open(database));
  return std::make_unique<DatabaseSource>(std::move(reader));
}

}  // namespace kvrecall
