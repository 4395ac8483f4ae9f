#include "server/observability/metrics.h"

namespace kvrecall {

using enum MetricId;

Metrics::Metrics(const LaneLabels& lanes)
    : runs_(&families_),
      store_(&families_, lanes),
      calls_(&families_),
      serving_(families_.Gauge(kServing)),
      draining_(families_.Gauge(kDraining)),
      model_load_(families_.Gauge(kModelLoad)),
      gpu_allocated_(families_.Gauge(kGpuMemory, {{"kind", "allocated"}})),
      gpu_reserved_(families_.Gauge(kGpuMemory, {{"kind", "reserved"}})),
      gpu_total_(families_.Gauge(kGpuMemory, {{"kind", "total"}})) {}

void Metrics::SetBuild(const BuildFacts& build) {
  families_
      .Gauge(kBuildInfo, {{"version", build.version},
                          {"commit", build.commit},
                          {"libtorch", build.libtorch},
                          {"sqlite", build.sqlite}})
      .Set(1);
}

void Metrics::SetModel(const ModelFacts& model) {
  families_
      .Gauge(kModelInfo, {{"model", model.name},
                          {"digest", model.digest},
                          {"dtype", model.dtype},
                          {"device", model.device}})
      .Set(1);
  model_load_.Set(absl::ToDoubleSeconds(model.load_time));
  runs_.SetContextWindow(model.context_window);
}

void Metrics::SetServing() { serving_.Set(1); }

void Metrics::SetDraining() {
  serving_.Set(0);
  draining_.Set(1);
}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  if (!database_.empty()) store_.LookAtFiles(database_);
  if (device_) {
    const GpuMemory memory = device_();
    gpu_allocated_.Set(memory.allocated);
    gpu_reserved_.Set(memory.reserved);
    gpu_total_.Set(memory.total);
  }
  return families_.Collect();
}

}  // namespace kvrecall
