#pragma once

// The process's own figures, in Prometheus' standard names, read from
// /proc/self at each scrape. Thread-safe; no state but the start time.

#include <vector>

#include "prometheus/collectable.h"
#include "prometheus/metric_family.h"

namespace kvrecall {

class ProcessCollector final : public prometheus::Collectable {
 public:
  // process_cpu_seconds_total, process_resident_memory_bytes,
  // process_virtual_memory_bytes, process_open_fds, process_max_fds,
  // process_start_time_seconds. What cannot be read is left out.
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace kvrecall
