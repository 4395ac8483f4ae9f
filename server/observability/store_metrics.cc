#include "server/observability/store_metrics.h"

#include <cstdint>
#include <filesystem>
#include <system_error>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace kvrecall {
namespace {

using enum MetricId;

constexpr const char* kFaultNames[] = {"busy", "full", "ioerr", "corrupt",
                                       "other"};

// 0 where there is no such file.
double BytesOf(const std::string& path) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  return error ? 0 : static_cast<double>(bytes);
}

}  // namespace

StoreMetrics::StoreMetrics(MetricFamilies* families, const LaneLabels& lanes)
    : records_(families, lanes),
      restarts_(families->Counter(kEngineRestarts)),
      waiting_(families->Gauge(kSamplesWaiting)),
      held_(families->Gauge(kSamplesHeld)),
      running_(families->Gauge(kSamplesRunning)),
      waiting_tokens_(families->Gauge(kQueueTokens)),
      ok_(families->Counter(kSamples, {{"outcome", "ok"}})),
      length_(families->Counter(kSamples, {{"outcome", "length"}})),
      failed_(families->Counter(kSamples, {{"outcome", "failed"}})),
      cancelled_(families->Counter(kSamples, {{"outcome", "cancelled"}})),
      deadline_(families->Counter(kSamples, {{"outcome", "deadline"}})),
      reused_(families->Counter(kSamplesReused)),
      records_committed_(families->Counter(kRecordsCommitted)),
      last_record_(families->Gauge(kLastRecord)),
      lag_(families->Histogram(kRecordCommitLag)),
      commit_(families->Histogram(kSqliteCommit)),
      database_bytes_(families->Gauge(kSqliteDatabase)),
      wal_bytes_(families->Gauge(kSqliteWal)),
      disk_free_(families->Gauge(kDiskFree)),
      disk_size_(families->Gauge(kDiskSize)) {
  for (int i = 0; i < kFaults; ++i)
    faults_[i] = &families->Counter(kSqliteErrors, {{"code", kFaultNames[i]}});
}

void StoreMetrics::OnOpened(int64_t earlier_servers) {
  restarts_.Increment(static_cast<double>(earlier_servers));
}

void StoreMetrics::OnCommit(const CommitReport& commit) {
  commit_.Observe(absl::ToDoubleSeconds(commit.commit_time));
  ok_.Increment(static_cast<double>(commit.ended.ok));
  length_.Increment(static_cast<double>(commit.ended.length));
  failed_.Increment(static_cast<double>(commit.ended.failed));
  cancelled_.Increment(static_cast<double>(commit.ended.cancelled));
  deadline_.Increment(static_cast<double>(commit.ended.deadline));
  reused_.Increment(static_cast<double>(commit.ended.reused));
  if (commit.events == 0) return;
  records_.OnCommitted(commit.appended);
  records_committed_.Increment(static_cast<double>(commit.events));
  lag_.Observe(absl::ToDoubleSeconds(commit.lag));
  last_record_.Set(absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
}

void StoreMetrics::OnRefused(const std::vector<Event>& events) {
  records_.OnRefused(events);
}

void StoreMetrics::OnQueue(const QueueSize& size) {
  waiting_.Set(static_cast<double>(size.waiting));
  held_.Set(static_cast<double>(size.held));
  running_.Set(static_cast<double>(size.running));
  waiting_tokens_.Set(static_cast<double>(size.waiting_tokens));
}

void StoreMetrics::OnDatabaseFault(DatabaseFault fault) {
  faults_[static_cast<int>(fault)]->Increment();
}

void StoreMetrics::LookAtFiles(const std::string& path) {
  database_bytes_.Set(BytesOf(path));
  wal_bytes_.Set(BytesOf(path + "-wal"));
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path, error);
  if (error) return;
  disk_free_.Set(static_cast<double>(space.available));
  disk_size_.Set(static_cast<double>(space.capacity));
}

}  // namespace kvrecall
