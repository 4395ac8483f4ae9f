#include "client/run_source.h"

#include <algorithm>
#include <utility>

#include "client/connection.h"
#include "common/base/status_macros.h"
#include "common/records_db/reader.h"

namespace kvrecall {
namespace {

class ServerSource final : public RunSource {
 public:
  explicit ServerSource(Connection connection)
      : connection_(std::move(connection)) {}

  absl::StatusOr<RunInfo> GetRun(const std::string& run_id) override {
    return connection_.GetRun(run_id);
  }
  absl::StatusOr<std::vector<RunInfo>> ListRuns(int64_t limit) override {
    return connection_.ListRuns(limit);
  }
  absl::Status ReadRecords(
      const std::string& run_id, int64_t last_sequence, const EventParts&,
      const std::function<absl::Status(const Event&)>& visit) override {
    return connection_.ReadRecords(run_id, last_sequence, visit);
  }

 private:
  const Connection connection_;
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
    ASSIGN_OR_RETURN(Connection connection, Connect(server));
    return std::make_unique<ServerSource>(std::move(connection));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<RecordsReader> reader,
                   RecordsReader::Open(database));
  return std::make_unique<DatabaseSource>(std::move(reader));
}

}  // namespace kvrecall
