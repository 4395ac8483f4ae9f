#pragma once

// What the RPC services tell, counted. Thread-safe.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "server/observability/metric_families.h"
#include "server/service/rpc_observer.h"

namespace kvrecall {

class RpcMetrics final : public RpcObserver {
 public:
  // Makes every series. `families` outlives it.
  explicit RpcMetrics(MetricFamilies* families);

  void OnCallHandled(std::string_view method, int code) override;
  void OnAdmission(Admission result, int64_t samples) override;
  void OnStreamOpened() override;
  void OnStreamClosed(StreamEnd why) override;
  void OnStreamMessage(int64_t records_behind) override;

 private:
  static constexpr int kCodes = 17;  // gRPC's, 0 to 16

  // By method; never changed after the constructor.
  std::map<std::string, std::array<prometheus::Counter*, kCodes>, std::less<>>
      handled_;
  std::array<prometheus::Counter*, kAdmissionResults> admissions_;
  prometheus::Gauge& open_;
  std::array<prometheus::Counter*, kStreamEnds> closed_;
  prometheus::Histogram& lag_;
};

}  // namespace kvrecall
