#pragma once

// The server's metrics. Every series is there, at 0, from the start, or a rate
// over it would miss the first event; nothing is added later. Thread-safe, but
// for what belongs to the engine's or the writer's thread.

#include <functional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "prometheus/collectable.h"

#include "server/observability/lane_labels.h"
#include "server/observability/metric_families.h"
#include "server/observability/rpc_metrics.h"
#include "server/observability/run_metrics.h"
#include "server/observability/store_metrics.h"

namespace kvrecall {

struct BuildFacts {
  std::string version, commit, libtorch, sqlite;
};

struct ModelFacts {
  std::string name, digest, dtype, device;
  int64_t context_window = 0;  // positions
  absl::Duration load_time;
};

// Bytes of a GPU's memory.
struct GpuMemory {
  double allocated = 0, reserved = 0, total = 0;
};

class Metrics final : public prometheus::Collectable {
 public:
  explicit Metrics(const LaneLabels& lanes);

  // The observers of runner, store and services.
  RunMetrics& runs() { return runs_; }
  StoreMetrics& store() { return store_; }
  RpcMetrics& calls() { return calls_; }

  // Once each, before the first Collect.
  void SetBuild(const BuildFacts& build);
  void SetModel(const ModelFacts& model);
  // What is read at each Collect: the database's files, and the device.
  void SetDatabase(std::string path) { database_ = std::move(path); }
  void SetDevice(std::function<GpuMemory()> memory) {
    device_ = std::move(memory);
  }

  void SetServing();
  void SetDraining();  // and no longer serving

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  mutable MetricFamilies families_;
  RunMetrics runs_;
  mutable StoreMetrics store_;
  RpcMetrics calls_;
  prometheus::Gauge& serving_;
  prometheus::Gauge& draining_;
  prometheus::Gauge& model_load_;
  prometheus::Gauge& gpu_allocated_;
  prometheus::Gauge& gpu_reserved_;
  prometheus::Gauge& gpu_total_;
  std::string database_;
  std::function<GpuMemory()> device_;
};

}  // namespace kvrecall
