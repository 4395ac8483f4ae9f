#include "server/observability/rpc_metrics.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

class RpcMetricsTest : public MetricsTest {
 protected:
  RpcMetrics& calls_ = metrics_.calls();
};

TEST_F(RpcMetricsTest, FiguresAreCountedFromAnyThread) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < 100; ++n) {
        calls_.OnCallHandled("GetRun", 0);
        calls_.OnCallHandled("GetRun", 5);
        calls_.OnStreamOpened();
        calls_.OnStreamMessage(n);
      }
      for (int n = 0; n < 99; ++n) calls_.OnStreamClosed(StreamEnd::kSlow);
    });
  for (std::thread& thread : threads) thread.join();
  calls_.OnCallHandled("NoSuchMethod", 0);
  calls_.OnCallHandled("GetRun", 99);
  EXPECT_EQ(Value("kvrecall_grpc_server_handled_total{code=\"OK\",method="
                  "\"GetRun\"}"),
            400);
  EXPECT_EQ(Value("kvrecall_grpc_server_handled_total{code=\"NOT_FOUND\","
                  "method=\"GetRun\"}"),
            400);
  EXPECT_EQ(Value("kvrecall_streams_open"), 4);
  EXPECT_EQ(Value("kvrecall_streams_closed_total{reason=\"slow\"}"), 396);
  EXPECT_EQ(Value("kvrecall_streams_closed_total{reason=\"done\"}"), 0);
  EXPECT_EQ(Value("kvrecall_stream_lag_records_bucket{le=\"0\"}"), 4);
  EXPECT_EQ(Value("kvrecall_stream_lag_records_count"), 400);
}

TEST_F(RpcMetricsTest, AdmissionsAreCountedBySample) {
  calls_.OnAdmission(Admission::kAccepted, 20);
  calls_.OnAdmission(Admission::kQueueFull, 1);
  calls_.OnAdmission(Admission::kError, 5);
  EXPECT_EQ(Value("kvrecall_admissions_total{result=\"accepted\"}"), 20);
  EXPECT_EQ(Value("kvrecall_admissions_total{result=\"queue_full\"}"), 1);
  EXPECT_EQ(Value("kvrecall_admissions_total{result=\"error\"}"), 5);
  EXPECT_EQ(Value("kvrecall_admissions_total{result=\"draining\"}"), 0);
}

}  // namespace
}  // namespace kvrecall
