#pragma once

// What the store tells, counted; and what its files take, read when somebody
// asks. Thread-safe, but for OnCommit, which is the writer thread's.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "server/observability/lane_labels.h"
#include "server/observability/metric_families.h"
#include "server/observability/record_metrics.h"
#include "server/store/store_observer.h"

namespace kvrecall {

class StoreMetrics final : public StoreObserver {
 public:
  // Makes every series. `families` outlives it.
  StoreMetrics(MetricFamilies* families, const LaneLabels& lanes);

  void OnOpened(int64_t earlier_servers) override;
  void OnCommit(const CommitReport& commit) override;
  void OnRefused(const std::vector<Event>& events) override;
  void OnQueue(const QueueSize& size) override;
  void OnDatabaseFault(DatabaseFault fault) override;

  // Reads the sizes of the database at `path` and of its file system.
  void LookAtFiles(const std::string& path);

 private:
  static constexpr int kFaults = 5;

  RecordMetrics records_;
  prometheus::Counter& restarts_;
  prometheus::Gauge& waiting_;
  prometheus::Gauge& held_;
  prometheus::Gauge& running_;
  prometheus::Gauge& waiting_tokens_;
  prometheus::Counter& ok_;
  prometheus::Counter& length_;
  prometheus::Counter& failed_;
  prometheus::Counter& cancelled_;
  prometheus::Counter& deadline_;
  prometheus::Counter& reused_;
  prometheus::Counter& records_committed_;
  prometheus::Gauge& last_record_;
  prometheus::Histogram& lag_;
  prometheus::Histogram& commit_;
  std::array<prometheus::Counter*, kFaults> faults_;
  prometheus::Gauge& database_bytes_;
  prometheus::Gauge& wal_bytes_;
  prometheus::Gauge& disk_free_;
  prometheus::Gauge& disk_size_;
};

}  // namespace kvrecall
