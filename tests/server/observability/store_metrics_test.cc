#include "server/observability/store_metrics.h"

#include <ctime>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

#include "tests/common/records_db/temp_dir.h"
#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

class StoreMetricsTest : public MetricsTest {
 protected:
  StoreMetrics& store_ = metrics_.store();
};

TEST_F(StoreMetricsTest, CommitsCountWhatTheyHold) {
  CommitReport commit;
  commit.events = 3;
  commit.commit_time = absl::Milliseconds(1);
  commit.lag = absl::Milliseconds(2);
  commit.ended = {1, 2, 3, 4, 5, 6};
  store_.OnCommit(commit);
  EXPECT_NEAR(Value("kvrecall_last_record_timestamp_seconds"),
              static_cast<double>(time(nullptr)), 60);
  commit.events = 0;  // no lag of no event
  commit.ended = {};
  store_.OnCommit(commit);
  EXPECT_EQ(Value("kvrecall_records_committed_total"), 3);
  EXPECT_EQ(Value("kvrecall_sqlite_commit_seconds_count"), 2);
  EXPECT_EQ(Value("kvrecall_record_commit_lag_seconds_count"), 1);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"ok\"}"), 1);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"length\"}"), 2);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"failed\"}"), 3);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"cancelled\"}"), 4);
  EXPECT_EQ(Value("kvrecall_samples_total{outcome=\"deadline\"}"), 5);
  EXPECT_EQ(Value("kvrecall_samples_reused_total"), 6);
}

TEST_F(StoreMetricsTest, QueueFaultsAndRestarts) {
  store_.OnOpened(7);
  store_.OnQueue({12, 3, 4500, 6});
  store_.OnDatabaseFault(DatabaseFault::kBusy);
  store_.OnDatabaseFault(DatabaseFault::kInputOutput);
  store_.OnDatabaseFault(DatabaseFault::kInputOutput);
  EXPECT_EQ(Value("kvrecall_engine_restarts_total"), 7);
  EXPECT_EQ(Value("kvrecall_samples_waiting"), 12);
  EXPECT_EQ(Value("kvrecall_samples_running"), 3);
  EXPECT_EQ(Value("kvrecall_queue_tokens"), 4500);
  EXPECT_EQ(Value("kvrecall_samples_held"), 6);
  EXPECT_EQ(Value("kvrecall_sqlite_errors_total{code=\"busy\"}"), 1);
  EXPECT_EQ(Value("kvrecall_sqlite_errors_total{code=\"ioerr\"}"), 2);
  EXPECT_EQ(Value("kvrecall_sqlite_errors_total{code=\"full\"}"), 0);
}

TEST_F(StoreMetricsTest, FilesAreLookedAtWhenSomebodyAsks) {
  const TempDir dir;
  const std::string path = dir.File("runs.db");
  metrics_.SetDatabase(path);
  EXPECT_EQ(Value("kvrecall_sqlite_db_bytes"), 0);  // there is none yet
  std::ofstream(path) << std::string(5000, 'x');
  std::ofstream(path + "-wal") << std::string(300, 'x');
  EXPECT_EQ(Value("kvrecall_sqlite_db_bytes"), 5000);
  EXPECT_EQ(Value("kvrecall_sqlite_wal_bytes"), 300);
  const double free = Value("kvrecall_disk_free_bytes");
  EXPECT_GT(free, 0);
  EXPECT_GE(Value("kvrecall_disk_size_bytes"), free);
}

}  // namespace
}  // namespace kvrecall
