#pragma once

// What the tests of the store share: a database in a folder of its own, calls
// that wait for their callback, and seeded random events.

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "server/store/sqlite_store.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {

// Calls `call` with a callback and waits for what it is given.
template <typename T, typename Call>
T Await(Call call) {
  std::mutex mutex;
  std::condition_variable ready;
  std::optional<T> value;
  call([&](T result) {
    std::lock_guard lock(mutex);
    value = std::move(result);
    ready.notify_one();
  });
  std::unique_lock lock(mutex);
  ready.wait(lock, [&] { return value.has_value(); });
  return *std::move(value);
}

inline RunConfig TestConfig() {
  RunConfig config;
  config.task = "hotpotqa";
  config.policies = {{"h2o", {}}, {"random", {{"seed", 7}}}};
  config.scopes = {Scope::kGlobal, Scope::kLayer};
  config.budgets = {{Budget::Kind::kCurrentRatio, 0.1},
                    {Budget::Kind::kTokens, 512}};
  config.max_new_tokens = 32;
  config.max_prompt_tokens = 31500;
  config.chat_template = "auto";
  config.gaps = {{GapSpec::Kind::kWithoutGold, {}, config.budgets[0]},
                 {GapSpec::Kind::kOnlyPred, config.policies[1],
                  config.budgets[1], Scope::kLayer}};
  return config;
}

inline NewRun TestRun(const std::string& request_id) {
  NewRun run;
  run.request_id = request_id;
  run.body_digest = "digest";
  run.config = TestConfig();
  run.provenance.model = "tiny";
  return run;
}

inline Sample TestSample(const std::string& id) {
  Sample sample;
  sample.id = id;
  sample.dataset = "hotpotqa";
  sample.input = "Who?";
  sample.context = "Line one.\n\"Quoted\" ünïcode.";
  sample.answers = {"Ada", ""};
  sample.length = 4;
  sample.language = "en";
  return sample;
}

// Named "a0", "a1", … for the prefix "a".
inline std::vector<Sample> TestSamples(const std::string& prefix, int count) {
  std::vector<Sample> samples;
  for (int i = 0; i < count; ++i)
    samples.push_back(TestSample(prefix + std::to_string(i)));
  return samples;
}

// Random events for lanes of TestConfig.
class EventMaker {
 public:
  explicit EventMaker(uint32_t seed) : random_(seed) {}

  double Real() {
    return std::uniform_real_distribution<double>(0, 1)(random_);
  }

  Event Start() {
    return {0, "", 1,
            SampleStart{Int(), Int(), random_() % 2 == 0, Real(), Int(), ""}};
  }

  Event Step(int64_t step) {
    StepRecord record;
    record.step = step;
    record.n = Int();
    record.token_id = Int();
    record.token = random_() % 3 == 0 ? "" : "tøk\n";
    record.entropy = Real() * 10;
    record.logprob = -Real();
    record.p_max = Real();
    record.margin = Real();
    record.attention_entropy = Real();
    record.attention_entropy_std = Real() * 1e-12;
    for (const Lane& lane : Lanes(TestConfig())) {
      RecallRecord& recall = record.recalls.emplace_back();
      recall.k = Int();
      recall.recall = Real();
      recall.chance = Real();
      if (random_() % 2 == 0) recall.lift = -Real();
      recall.mass = Real();
      recall.mass_ratio = Real();
      if (random_() % 2 == 0) recall.recall_without_free_hits = Real();
      if (step > 1) recall.drift = Real();
      if (random_() % 2 == 0) recall.fetched_back = Real() * 100;
      for (unsigned lost = random_() % 5; lane.scope == 0 && lost > 0; --lost)
        recall.lost.push_back({Int(), static_cast<float>(Real()), " \"tø\n"});
      for (int layer = 0; layer < 28 * lane.scope; ++layer) {
        recall.layer_recalls.push_back(static_cast<float>(Real()));
      }
    }
    for (size_t i = 0; i < TestConfig().gaps.size(); ++i) {
      GapRecord& gap = record.gaps.emplace_back();
      gap.kl = Real();
      gap.entropy_change = Real() - 0.5;
      gap.logprob_change = -Real();
      gap.token_id = Int();
      gap.top1_agrees = random_() % 2 == 0;
    }
    return {0, "", 1, std::move(record)};
  }

  Event Result() {
    SampleResult result;
    result.generated_tokens = Int();
    result.text = "Ada \"Lovelace\" \u2603";
    if (random_() % 2 == 0) {
      result.score = Real();
      result.gap_scores = {Real(), Real()};
    }
    if (random_() % 2 == 0) result.finish_reason = FinishReason::kEos;
    result.prefill_seconds = Real();
    result.decode_seconds = Real();
    return {0, "", 1, std::move(result)};
  }

  static Event Failure() {
    return {0, "", 1, SampleFailure{"PROMPT_TOO_LONG", "it is too long"}};
  }

 private:
  int64_t Int() { return static_cast<int64_t>(random_() % 100000); }
  std::mt19937 random_;
};

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : path_(dir_.File("runs.db")) {
    options_.commit_interval = absl::Milliseconds(1);
    options_.retry_interval = absl::Milliseconds(10);
  }

  void SetUp() override { Open(); }

  void Open() {
    auto store = OpenSqliteStore(path_, options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  void Reopen() {
    store_.reset();
    Open();
  }

  absl::StatusOr<RunInfo> TryCreate(NewRun run) {
    return Await<absl::StatusOr<RunInfo>>(
        [&](auto done) { store_->CreateRun(std::move(run), std::move(done)); });
  }
  std::string Create(const std::string& request_id = "request") {
    auto run = TryCreate(TestRun(request_id));
    EXPECT_TRUE(run.ok()) << run.status();
    return run.ok() ? run->run_id : "";
  }
  absl::StatusOr<std::vector<SubmitOutcome>> Submit(const std::string& run,
                                                    std::vector<Sample> samples,
                                                    bool complete = false) {
    absl::StatusOr<SubmitReply> reply =
        Await<absl::StatusOr<SubmitReply>>([&](auto done) {
          store_->SubmitSamples(run, std::move(samples), complete,
                                std::move(done));
        });
    // Moved, not shared: ThreadSanitizer does not see the packaged Abseil count
    // references.
    if (!reply.ok()) return std::move(reply).status();
    return std::move(reply->outcomes);
  }
  absl::StatusOr<RunInfo> Cancel(const std::string& run) {
    return Await<absl::StatusOr<RunInfo>>(
        [&](auto done) { store_->CancelRun(run, std::move(done)); });
  }
  RunInfo Info(const std::string& run) {
    auto info = store_->GetRun(run);
    EXPECT_TRUE(info.ok()) << info.status();
    return info.value_or(RunInfo());
  }
  std::vector<Event> Events(const std::string& run) {
    auto events = store_->ReadAfter(run, 0, 1'000'000);
    EXPECT_TRUE(events.ok()) << events.status();
    return events.value_or(std::vector<Event>());
  }
  LeasedSample Lease() {
    auto sample = store_->Lease();
    EXPECT_TRUE(sample.ok()) << sample.status();
    return sample.value_or(LeasedSample());
  }
  void Append(const LeasedSample& sample, std::vector<Event> events) {
    const absl::Status status = store_->Append(sample, std::move(events));
    EXPECT_TRUE(status.ok()) << status;
  }
  // Returns once all that was handed over before is committed.
  void Flush() { TryCreate(TestRun("flush")).IgnoreError(); }

  // Returns once the writer keeps no share of what it answered before:
  // ThreadSanitizer does not see the packaged Abseil count references, and the
  // last one must be the test's.
  void LetGo() { Cancel("none").IgnoreError(); }

  TempDir dir_;
  const std::string path_;
  SqliteStoreOptions options_;
  std::unique_ptr<Store> store_;
  EventMaker make_{20240607};
};

}  // namespace kvrecall
