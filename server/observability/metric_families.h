#pragma once

// Series by their place in the catalog. Thread-safe; slow: each series is asked
// for once and kept.

#include <memory>

#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/labels.h"
#include "prometheus/registry.h"

#include "server/observability/catalog.h"

namespace kvrecall {

class MetricFamilies {
 public:
  using Labels = prometheus::Labels;

  // The series with these labels, made where there is none. It lives as long
  // as this.
  prometheus::Counter& Counter(MetricId id, const Labels& labels = {});
  prometheus::Gauge& Gauge(MetricId id, const Labels& labels = {});
  prometheus::Histogram& Histogram(MetricId id, const Labels& labels = {});

  std::vector<prometheus::MetricFamily> Collect() const {
    return registry_.Collect();
  }

 private:
  prometheus::Registry registry_;
};

}  // namespace kvrecall
