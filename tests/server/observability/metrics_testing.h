#pragma once

// What the tests of the metrics share.

#include <limits>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "gtest/gtest.h"
#include "prometheus/text_serializer.h"

#include "server/observability/metrics.h"

namespace kvrecall {

// The figure of one series, "name{labels}" as it is exported; NaN if there is
// none.
inline double Figure(const std::string& text, const std::string& series) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    double value = 0;
    if (absl::StartsWith(line, series + " ") &&
        absl::SimpleAtod(line.substr(series.size() + 1), &value))
      return value;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

inline LaneLabels TestLanes() {
  const auto lanes = ParseLaneLabels("h2o,random,tova,oracle", "0.1,0.2");
  EXPECT_TRUE(lanes.ok()) << lanes.status();
  return lanes.value_or(LaneLabels());
}

class MetricsTest : public ::testing::Test {
 protected:
  // What a scrape gives, without HTTP.
  std::string Text() {
    return prometheus::TextSerializer().Serialize(metrics_.Collect());
  }
  double Value(const std::string& series) { return Figure(Text(), series); }

  Metrics metrics_{TestLanes()};
};

}  // namespace kvrecall
