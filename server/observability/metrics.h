#pragma once

// The server's metrics, as observers of the runner, the store and the RPC
// services. Every series whose labels are known is there, at 0, from the start,
// or a rate over it would miss the first event.
//
// Thread-safe, but for the RunnerObserver methods, which belong to the engine
// thread. No series is ever looked up by name on that thread: the ones of a
// run are resolved once.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "prometheus/counter.h"
#include "prometheus/family.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

#include "server/observability/catalog.h"
#include "server/observability/label_limit.h"
#include "server/runner/observer.h"
#include "server/service/rpc_observer.h"
#include "server/store/store.h"

namespace kvrecall {

class Metrics final : public RunnerObserver,
                      public StoreObserver,
                      public RpcObserver {
 public:
  Metrics();

  // What the exposer serves.
  std::shared_ptr<prometheus::Registry> registry() const { return registry_; }

  // Once each, before the server serves. Label values that were not given
  // before count as "other" beyond 6 policies, 4 budgets and 8 gap lanes.
  void SetBuildInfo(const std::string& version, const std::string& commit);
  void SetModelInfo(const std::string& model, const std::string& digest,
                    const std::string& dtype, const std::string& device);
  // Makes the recall series of the lanes that runs have by default.
  void PrepareLanes(const RunConfig& defaults);

  void SetServing(bool serving);

  void OnSampleStarted(const RunConfig& config,
                       const SampleStart& start) override;
  void OnStep(const RunConfig& config, const StepRecord& record,
              absl::Duration latency) override;
  void OnSampleFinished(const RunConfig& config,
                        const SampleResult& result) override;
  void OnSampleFailed(const RunConfig& config,
                      const SampleFailure& failure) override;

  void OnCommit(int64_t events, absl::Duration commit_time,
                absl::Duration lag) override;
  void OnQueue(int64_t waiting, int64_t running) override;

  void OnCallHandled(std::string_view method, int code) override;
  void OnStreamOpened() override;
  void OnStreamClosed() override;

 private:
  struct GapSeries {
    prometheus::Histogram* kl = nullptr;
    prometheus::Histogram* logprob_change = nullptr;
  };
  // The series of one run's steps.
  struct RunSeries {
    RunConfig config;
    prometheus::Counter* prompt_tokens = nullptr;
    prometheus::Counter* generation_tokens = nullptr;
    // By lane; null where the lane's scope is not global.
    std::vector<prometheus::Histogram*> recalls;
    // By lane; null where the scope is not global or the policy loses nothing.
    std::vector<prometheus::Counter*> fetched_back;
    std::vector<GapSeries> gaps;  // by gap lane
  };
  static constexpr int kCodes = 17;  // gRPC's, 0 to 16

  prometheus::Family<prometheus::Counter>& CounterFamily(MetricId id);
  prometheus::Family<prometheus::Gauge>& GaugeFamily(MetricId id);
  prometheus::Family<prometheus::Histogram>& HistogramFamily(MetricId id);
  prometheus::Counter& Counter(MetricId id);
  prometheus::Gauge& Gauge(MetricId id);
  prometheus::Histogram& Histogram(MetricId id);

  prometheus::Histogram& RecallSeries(const PolicySpec& policy,
                                      const Budget& budget);
  prometheus::Counter& FetchedBackSeries(const std::string& policy,
                                         const std::string& budget);
  GapSeries GapSeriesOf(const std::string& lane);
  RunSeries Resolve(const RunConfig& config);
  void OnRecalls(const RunSeries& series, const StepRecord& record);
  void OnGaps(const RunSeries& series, const StepRecord& record);
  const RunSeries& SeriesOf(const RunConfig& config);

  const std::shared_ptr<prometheus::Registry> registry_;

  prometheus::Gauge& serving_;
  prometheus::Gauge& samples_running_;
  prometheus::Gauge& samples_waiting_;
  prometheus::Gauge& streams_open_;
  prometheus::Counter& samples_ok_;
  prometheus::Counter& samples_length_;
  prometheus::Counter& samples_failed_;
  prometheus::Counter& nonfinite_logit_;
  prometheus::Counter& nonfinite_entropy_;
  prometheus::Counter& nonfinite_recall_;
  prometheus::Counter& nonfinite_gap_;
  prometheus::Counter& records_committed_;
  prometheus::Histogram& first_token_;
  prometheus::Histogram& between_tokens_;
  prometheus::Histogram& prefill_;
  prometheus::Histogram& decode_;
  prometheus::Histogram& entropy_;
  prometheus::Histogram& commit_lag_;
  prometheus::Histogram& commit_;

  std::map<std::string, prometheus::Counter*, std::less<>> prompt_tokens_;
  std::map<std::string, prometheus::Counter*, std::less<>> generation_tokens_;
  // By method; built by the constructor and never changed.
  std::map<std::string, std::array<prometheus::Counter*, kCodes>, std::less<>>
      handled_;
  prometheus::Family<prometheus::Histogram>& recall_family_;
  prometheus::Family<prometheus::Counter>& fetched_back_family_;
  prometheus::Family<prometheus::Histogram>& gap_kl_family_;
  prometheus::Family<prometheus::Histogram>& gap_logprob_family_;
  LabelLimit policies_;
  LabelLimit budgets_;
  LabelLimit gap_lanes_;
  std::optional<RunSeries> current_;  // of the run that steps now
};

}  // namespace kvrecall
