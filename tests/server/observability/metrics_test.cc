#include "server/observability/metrics.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

TEST_F(MetricsTest, InfosAndServingSayWhatRuns) {
  metrics_.SetBuild({"0.1.0", "abc", "1.13.0", "3.40.1"});
  metrics_.SetModel({"nano", "d1", "float32", "cpu", 1000, absl::Seconds(2)});
  EXPECT_EQ(Value("kvrecall_serving"), 0);
  metrics_.SetServing();
  EXPECT_EQ(Value("kvrecall_build_info{commit=\"abc\",libtorch=\"1.13.0\","
                  "sqlite=\"3.40.1\",version=\"0.1.0\"}"),
            1);
  EXPECT_EQ(Value("kvrecall_model_info{device=\"cpu\",digest=\"d1\",dtype="
                  "\"float32\",model=\"nano\"}"),
            1);
  EXPECT_EQ(Value("kvrecall_model_load_seconds"), 2);
  EXPECT_EQ(Value("kvrecall_serving"), 1);
  EXPECT_EQ(Value("kvrecall_draining"), 0);
  metrics_.SetDraining();
  EXPECT_EQ(Value("kvrecall_serving"), 0);
  EXPECT_EQ(Value("kvrecall_draining"), 1);
}

TEST_F(MetricsTest, ADeviceIsAskedAtEachScrape) {
  EXPECT_EQ(Value("kvrecall_gpu_memory_bytes{kind=\"total\"}"), 0);
  double allocated = 5;
  metrics_.SetDevice([&] { return GpuMemory{allocated, 20, 100}; });
  EXPECT_EQ(Value("kvrecall_gpu_memory_bytes{kind=\"allocated\"}"), 5);
  EXPECT_EQ(Value("kvrecall_gpu_memory_bytes{kind=\"total\"}"), 100);
  allocated = 7;
  EXPECT_EQ(Value("kvrecall_gpu_memory_bytes{kind=\"allocated\"}"), 7);
  EXPECT_EQ(Value("kvrecall_gpu_memory_bytes{kind=\"reserved\"}"), 20);
}

// With as many labels as the flags take; the process adds six.
TEST(SeriesLimitTest, AnEndpointHasAtMostTwoThousand) {
  const auto lanes = ParseLaneLabels(
      "h2o,h2o_evict,snapkv,streaming,random,oracle", "0.1,0.2,0.3,tokens:512");
  ASSERT_TRUE(lanes.ok()) << lanes.status();
  Metrics metrics(*lanes);
  metrics.SetBuild({"0.1.0", "abc", "1.13.0", "3.40.1"});
  metrics.SetModel({"nano", "d1", "float32", "cpu", 1000, absl::Seconds(1)});
  std::istringstream lines(
      prometheus::TextSerializer().Serialize(metrics.Collect()));
  int series = 0;
  for (std::string line; std::getline(lines, line);)
    series += !absl::StartsWith(line, "#");
  EXPECT_LE(series, 2000 - 6);
}

}  // namespace
}  // namespace kvrecall
