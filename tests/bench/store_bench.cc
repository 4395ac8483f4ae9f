// How many step records a second the store commits, one step a call, and how
// much processor time each takes. 18 recalls a step (3 policies, 2 scopes, 3
// budgets), 28 layers. Usage: store_bench DIRECTORY [STEPS [STEPS_PER_SECOND]]
// (0: as fast as it goes).

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include <sys/resource.h>

#include "server/store/sqlite_store.h"

namespace kvrecall {
namespace {

class Lags : public StoreObserver {
 public:
  void OnCommit(const CommitReport& commit) override {
    if (commit.events > 0)
      lags.push_back(absl::ToDoubleMilliseconds(commit.lag));
  }
  std::vector<double> lags;  // read after Close
};

double ProcessorSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) *
             1e-6;
}

RunConfig Config() {
  RunConfig config;
  config.task = "hotpotqa";
  config.policies = {{"h2o", {}}, {"random", {}}, {"oracle", {}}};
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  for (const double ratio : {0.1, 0.2, 0.3}) {
    config.budgets.push_back({Budget::Kind::kCurrentRatio, ratio});
  }
  return config;
}

Event Step(const RunConfig& config, int64_t number) {
  StepRecord step;
  step.step = number;
  step.n = 8000 + number;
  step.token = " token";
  step.entropy = 1.0 / static_cast<double>(number + 2);
  for (const Lane& lane : Lanes(config)) {
    RecallRecord& recall = step.recalls.emplace_back();
    recall = {800, step.entropy, 0.1, 0.3, 0.7, 0.9, 0.5, 0.2, {}, {}, {}};
    if (lane.scope == 0)
      recall.lost.assign(kMostLost, {4000 + number, 0.0123f, " token"});
    if (lane.scope == 1) recall.layer_recalls.assign(28, 0.5f);
  }
  return {0, "", 1, std::move(step)};
}

int Main(const std::string& directory, int64_t steps, double rate) {
  Lags lags;
  SqliteStoreOptions options;
  options.observer = &lags;
  auto opened = OpenSqliteStore(directory + "/store_bench.db", options);
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", opened.status().ToString().c_str());
    return 1;
  }
  Store& store = **opened;
  NewRun run;
  run.config = Config();
  run.request_id = std::to_string(absl::ToUnixNanos(absl::Now()));
  std::promise<std::string> made;
  store.CreateRun(run, [&](absl::StatusOr<RunInfo> info) {
    made.set_value(info.value().run_id);
  });
  const std::string run_id = made.get_future().get();
  Sample sample;
  sample.id = "a";
  store.SubmitSamples(run_id, {sample}, true, [](const auto&) {});
  const LeasedSample leased = store.Lease().value();
  const Event step = Step(run.config, 1);

  const double processor = ProcessorSeconds();
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < steps; ++i) {
    if (rate > 0) {
      std::this_thread::sleep_until(
          start +
          std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::duration<double>(static_cast<double>(i) / rate)));
    }
    if (!store.Append(leased, {step}).ok()) return 1;
  }
  if (!store.Close().ok()) return 1;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  const double used = ProcessorSeconds() - processor;
  std::sort(lags.lags.begin(), lags.lags.end());
  const auto lag = [&](double p) {
    return lags.lags[static_cast<size_t>(
        p * static_cast<double>(lags.lags.size() - 1))];
  };
  std::printf(
      "%lld steps in %.2f s: %.0f steps/s, %.1f us of processor time each, "
      "%.2f cores; commit lag ms: p50 %.1f, p99 %.1f\n",
      static_cast<long long>(steps), seconds,
      static_cast<double>(steps) / seconds,
      used / static_cast<double>(steps) * 1e6, used / seconds, lag(0.5),
      lag(0.99));
  return 0;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY [STEPS [STEPS_PER_SECOND]]\n",
                 argv[0]);
    return 2;
  }
  return kvrecall::Main(argv[1], argc > 2 ? std::atoll(argv[2]) : 50000,
                        argc > 3 ? std::atof(argv[3]) : 0);
}
