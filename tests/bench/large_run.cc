// Makes a database with one finished run of random numbers, as large as asked:
// 6 policies, 2 scopes, 3 budgets. Prints the run's name. For timing what reads
// runs. Usage: large_run FILE [SAMPLES [STEPS]] (200, 128).

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <random>
#include <string>
#include <vector>

#include "server/store/sqlite_store.h"

namespace kvrecall {
namespace {

RunConfig Config(int64_t steps) {
  RunConfig config;
  config.task = "hotpotqa_cot";
  config.policies =
      *ParsePolicySpecs("h2o,h2o_window,h2o_mean,streaming,tova,random");
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = *ParseBudgets("0.1,0.2,0.3");
  config.max_new_tokens = steps;
  config.chat_template = "auto";
  return config;
}

class Maker {
 public:
  explicit Maker(const RunConfig& config) : lanes_(Lanes(config)) {}

  // Recall falls with entropy, and differs from sample to sample.
  Event Step(int64_t t, int64_t prompt, double level) {
    StepRecord step;
    step.step = t;
    step.n = prompt + t - 1;
    step.token = t % 7 == 0 ? " reasoning" : " the";
    step.entropy = std::gamma_distribution<double>(0.8, 1.0)(random_) + level;
    step.p_max = std::exp(-step.entropy);
    step.margin = step.p_max / 2;
    step.logprob = -step.entropy;
    step.attention_entropy = 3 + level + Noise(0.2);
    for (const Lane& lane : lanes_) {
      RecallRecord& recall = step.recalls.emplace_back();
      const double wanted = 0.5 + 0.1 * lane.budget + 0.03 * lane.policy -
                            0.06 * step.entropy - 0.1 * level + Noise(0.1);
      recall.k = step.n / 10 * (lane.budget + 1);
      // As a share of K: with the ties that real recalls have.
      recall.recall = std::round(std::fmin(1, std::fmax(0, wanted)) *
                                 static_cast<double>(recall.k)) /
                      static_cast<double>(recall.k);
      recall.chance = 0.1 * (lane.budget + 1);
      recall.mass = recall.mass_ratio = recall.recall;
      if (t > 1) recall.drift = std::fabs(Noise(0.2));
      if (lane.policy == 4) recall.fetched_back = 0;
      if (lane.scope == 0)
        for (int64_t i = 0; i < kMostLost; ++i)
          recall.lost.push_back({static_cast<int64_t>(random_() % 8000),
                                 0.02f / static_cast<float>(i + 1) +
                                     static_cast<float>(t) * 1e-6f,
                                 i % 2 == 0 ? " Paris" : " 1984"});
      if (lane.scope == 1)
        recall.layer_recalls.assign(28, static_cast<float>(recall.recall));
    }
    return {0, "", 1, std::move(step)};
  }

  double Noise(double scale) {
    return std::normal_distribution<double>(0, scale)(random_);
  }

 private:
  const std::vector<Lane> lanes_;
  std::mt19937_64 random_{20261125};
};

template <typename T>
T Wait(std::future<absl::StatusOr<T>> future) {
  absl::StatusOr<T> value = future.get();
  if (!value.ok()) {
    std::fprintf(stderr, "%s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

int Main(const std::string& path, int64_t samples, int64_t steps) {
  auto opened = OpenSqliteStore(path, {});
  if (!opened.ok()) {
    std::fprintf(stderr, "%s\n", opened.status().ToString().c_str());
    return 1;
  }
  Store& store = **opened;
  NewRun run;
  run.config = Config(steps);
  run.request_id = "large";
  std::promise<absl::StatusOr<RunInfo>> made;
  store.CreateRun(run,
                  [&](absl::StatusOr<RunInfo> info) { made.set_value(info); });
  const std::string run_id = Wait(made.get_future()).run_id;
  std::vector<Sample> inputs;
  for (int64_t s = 0; s < samples; ++s)
    inputs.emplace_back().id = "sample-" + std::to_string(1000 + s);
  store.SubmitSamples(run_id, inputs, true, [](const auto&) {});
  Maker maker(run.config);
  for (int64_t s = 0; s < samples; ++s) {
    const LeasedSample leased = store.Lease().value();
    const double level = std::fabs(maker.Noise(0.5));
    std::vector<Event> events = {
        {0, "", 1, SampleStart{8000, 8000, false, 0, 5000, ""}}};
    for (int64_t t = 1; t <= steps; ++t)
      events.push_back(maker.Step(t, 8000, level));
    SampleResult result;
    result.generated_tokens = steps;
    result.score = s % 3 / 2.0;
    events.push_back({0, "", 1, result});
    if (!store.Append(leased, events).ok()) return 1;
  }
  if (!store.Close().ok()) return 1;
  std::printf("%s\n", run_id.c_str());
  return 0;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FILE [SAMPLES [STEPS]]\n", argv[0]);
    return 2;
  }
  return kvrecall::Main(argv[1], argc > 2 ? std::atoll(argv[2]) : 200,
                        argc > 3 ? std::atoll(argv[3]) : 128);
}
