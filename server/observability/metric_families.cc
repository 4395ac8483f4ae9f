#include "server/observability/metric_families.h"

namespace kvrecall {

prometheus::Counter& MetricFamilies::Counter(MetricId id,
                                             const Labels& labels) {
  return prometheus::BuildCounter()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(registry_)
      .Add(labels);
}

prometheus::Gauge& MetricFamilies::Gauge(MetricId id, const Labels& labels) {
  return prometheus::BuildGauge()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(registry_)
      .Add(labels);
}

prometheus::Histogram& MetricFamilies::Histogram(MetricId id,
                                                 const Labels& labels) {
  const auto buckets = SpecOf(id).buckets;
  return prometheus::BuildHistogram()
      .Name(SpecOf(id).name)
      .Help(SpecOf(id).help)
      .Register(registry_)
      .Add(labels, prometheus::Histogram::BucketBoundaries(buckets.begin(),
                                                           buckets.end()));
}

}  // namespace kvrecall
