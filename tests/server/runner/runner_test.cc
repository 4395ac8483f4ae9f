#include "server/runner/runner.h"

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <mutex>

#include "absl/time/clock.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "server/engine/scripted_model.h"
#include "server/runner/planner.h"
#include "server/store/sqlite_store.h"
#include "tests/fault/faulty_disk.h"

namespace kvrecall {
namespace {

// Happens once, and can be waited for.
class Signal {
 public:
  void Notify() { promise_.set_value(); }
  void WaitForNotification() { future_.wait(); }
  bool HasBeenNotified() const {
    return future_.wait_for(std::chrono::seconds(0)) ==
           std::future_status::ready;
  }

 private:
  std::promise<void> promise_;
  std::future<void> future_ = promise_.get_future();
};

class CountingObserver final : public RunnerObserver {
 public:
  void OnStep(const StepRecord&, absl::Duration latency) override {
    EXPECT_GE(latency, absl::ZeroDuration());
    ++steps;
  }
  void OnPass(EnginePhase phase, absl::Duration time) override {
    EXPECT_GE(time, absl::ZeroDuration());
    ++passes[static_cast<size_t>(phase)];
  }
  void OnSampleFinished(absl::Duration latency) override {
    EXPECT_GT(latency, absl::ZeroDuration());
    ++finished;
  }
  void OnIdle() override { ++idle; }
  void OnSampleFailed(const SampleFailure&) override { ++failed; }
  std::atomic<int> steps = 0, finished = 0, failed = 0, idle = 0;
  std::array<std::atomic<int>, kEnginePhases> passes = {};
};

// The whole server but gRPC: real store, real tokenizer, scripted model.
class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    auto store = OpenSqliteStore(directory_ + "/test.db", {});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
    auto prompts = PromptBuilder::Load("deploy/models/nano");
    ASSERT_TRUE(prompts.ok()) << prompts.status();
    prompts_ = std::move(*prompts);
    options_.vocabulary = 2048;
    options_.eos_token = 2047;
  }
  void TearDown() override {
    if (runner_ != nullptr) runner_->Stop(absl::ZeroDuration());
    if (store_ != nullptr) {
      EXPECT_TRUE(store_->Close().ok());
    }
    std::filesystem::remove_all(directory_);
  }

  void StartRunner() {
    model_ = MakeScriptedModel(options_);
    runner_ =
        Runner::Start(*model_, *prompts_, *store_, observer_, on_device_lost_);
  }

  std::string CreateRun(const std::string& request_id, int64_t max_new,
                        absl::Duration time_limit = absl::InfiniteDuration()) {
    RunConfig config;
    config.task = "demo";
    config.policies = *ParsePolicySpecs("h2o,random,oracle");
    config.scopes = {Scope::kGlobal, Scope::kLayer};
    config.budgets = *ParseBudgets("0.1,0.2,0.3");
    config.max_new_tokens = max_new;
    config.max_prompt_tokens = 1000;
    config.chat_template = "auto";
    auto model = MakeScriptedModel(options_);
    auto provenance = DescribeProvenance(config, model->info(), *prompts_);
    EXPECT_TRUE(provenance.ok()) << provenance.status();
    std::string run_id;
    Signal done;
    NewRun run{request_id, "digest", config, *provenance};
    run.time_limit = time_limit;
    store_->CreateRun(std::move(run), [&](absl::StatusOr<RunInfo> run) {
      EXPECT_TRUE(run.ok()) << run.status();
      run_id = run->run_id;
      done.Notify();
    });
    done.WaitForNotification();
    return run_id;
  }

  void Submit(const std::string& run_id, int count) {
    std::vector<Sample> samples;
    for (int i = 0; i < count; ++i) {
      Sample sample;
      sample.id = "sample-" + std::to_string(i);
      sample.input = "Question " + std::to_string(i) + "?";
      sample.context = "Some context.";
      sample.answers = {"answer"};
      sample.length = 100 + i;
      samples.push_back(sample);
    }
    Signal done;
    store_->SubmitSamples(run_id, samples, /*complete=*/true,
                          [&](const auto& outcomes) {
                            EXPECT_TRUE(outcomes.ok()) << outcomes.status();
                            done.Notify();
                          });
    done.WaitForNotification();
  }

  RunInfo WaitForEnd(const std::string& run_id) {
    std::mutex mutex;
    std::condition_variable changed;
    bool woken = false;
    const auto subscription = store_->Subscribe(run_id, [&] {
      const std::lock_guard lock(mutex);
      woken = true;
      changed.notify_one();
    });
    while (true) {
      auto run = store_->GetRun(run_id);
      EXPECT_TRUE(run.ok()) << run.status();
      if (IsTerminal(run->state)) return *run;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return woken; });
      woken = false;
    }
  }

  // As another process would find them.
  void Restart() {
    runner_.reset();
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    auto store = OpenSqliteStore(directory_ + "/test.db", {});
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
    StartRunner();
  }

  std::vector<Event> Events(const std::string& run_id) {
    auto events = store_->ReadAfter(run_id, 0, 100000);
    EXPECT_TRUE(events.ok()) << events.status();
    return *events;
  }

  std::string directory_;
  ScriptedModelOptions options_;
  CountingObserver observer_;
  std::function<void(const absl::Status&)> on_device_lost_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<PromptBuilder> prompts_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerTest, RunsEverySampleToItsRecords) {
  StartRunner();
  const std::string run_id = CreateRun("a", 7);
  Submit(run_id, 3);
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_EQ(run.samples_done, 3);
  const std::vector<Event> events = Events(run_id);
  ASSERT_EQ(events.size(), 3u * (1 + 7 + 1) + 1);
  int64_t sequence = 0;
  std::map<std::string, std::string> text;
  for (const Event& event : events) {
    EXPECT_EQ(event.sequence, ++sequence);
    if (const auto* step = std::get_if<StepRecord>(&event.body)) {
      EXPECT_EQ(step->recalls.size(), 18u);
      text[event.sample_id] += step->token;
    }
    if (const auto* result = std::get_if<SampleResult>(&event.body)) {
      EXPECT_EQ(result->finish_reason, FinishReason::kLength);
      EXPECT_EQ(result->generated_tokens, 7);
      EXPECT_EQ(result->score, 0.0);
      EXPECT_TRUE(result->text.starts_with(text[event.sample_id]));
    }
  }
  EXPECT_TRUE(std::holds_alternative<RunEnd>(events.back().body));
  runner_->Stop(absl::Seconds(10));
  EXPECT_EQ(observer_.steps, 21);
  EXPECT_EQ(observer_.finished, 3);
  EXPECT_EQ(observer_.idle, 3);
  // The prompts are longer than nothing and shorter than a chunk.
  const auto passes = [&](EnginePhase phase) {
    return observer_.passes[static_cast<size_t>(phase)].load();
  };
  EXPECT_EQ(passes(EnginePhase::kPrefill), 3);
  EXPECT_EQ(passes(EnginePhase::kDecode), 21);
  EXPECT_EQ(passes(EnginePhase::kGap), 0);
}

TEST_F(RunnerTest, TheSameSampleGivesTheSameRecords) {
  StartRunner();
  std::vector<std::vector<StepRecord>> steps(2);
  for (int i = 0; i < 2; ++i) {
    const std::string run_id = CreateRun(std::to_string(i), 9);
    Submit(run_id, 1);
    WaitForEnd(run_id);
    for (const Event& event : Events(run_id))
      if (const auto* step = std::get_if<StepRecord>(&event.body))
        steps[i].push_back(*step);
  }
  EXPECT_EQ(steps[0].size(), 9u);
  EXPECT_EQ(steps[0], steps[1]);
}

// What the store has of a sample is what its file said of it.
TEST_F(RunnerTest, ASampleIsRecordedWithItsLengthAndItsLostTokens) {
  StartRunner();
  const std::string run_id = CreateRun("a", 3);
  Submit(run_id, 2);
  WaitForEnd(run_id);
  int starts = 0, named = 0;
  for (const Event& event : Events(run_id)) {
    if (const auto* start = std::get_if<SampleStart>(&event.body)) {
      ++starts;
      EXPECT_EQ(start->length, event.sample_id == "sample-0" ? 100 : 101);
    }
    if (const auto* step = std::get_if<StepRecord>(&event.body)) {
      for (const RecallRecord& recall : step->recalls)
        for (const LostPosition& lost : recall.lost) named += lost.token != "";
    }
  }
  EXPECT_EQ(starts, 2);
  EXPECT_GT(named, 0);
}

TEST_F(RunnerTest, AnEosEndsTheTextAndIsCounted) {
  options_.eos_every = 5;
  StartRunner();
  const std::string run_id = CreateRun("a", 64);
  Submit(run_id, 1);
  WaitForEnd(run_id);
  const std::vector<Event> events = Events(run_id);
  const auto& result = std::get<SampleResult>(events[events.size() - 2].body);
  EXPECT_EQ(result.finish_reason, FinishReason::kEos);
  EXPECT_LE(result.generated_tokens, 5);
  const auto& last = std::get<StepRecord>(events[events.size() - 3].body);
  EXPECT_EQ(last.token_id, options_.eos_token);
  EXPECT_EQ(last.step, result.generated_tokens);
  EXPECT_EQ(last.token, "");
  EXPECT_EQ(last.n % 5, 0);
}

TEST_F(RunnerTest, AFaultFailsItsSampleOnly) {
  std::atomic<int> sample = 0;
  options_.hook = [&](const ScriptedPoint& point) {
    if (point.phase == ScriptedPoint::Phase::kPrefill && point.positions == 0)
      ++sample;
    return sample == 2 && point.phase == ScriptedPoint::Phase::kStep
               ? absl::ResourceExhaustedError("out of memory")
               : absl::OkStatus();
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 4);
  Submit(run_id, 3);
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.state, RunState::kPartiallyFailed);
  EXPECT_EQ(run.samples_done, 2);
  EXPECT_EQ(run.samples_failed, 1);
  int failures = 0;
  for (const Event& event : Events(run_id))
    if (const auto* failure = std::get_if<SampleFailure>(&event.body)) {
      ++failures;
      EXPECT_EQ(failure->reason, "OUT_OF_MEMORY");
    }
  EXPECT_EQ(failures, 1);
}

// An error of which the device knows nothing is the sample's own.
TEST_F(RunnerTest, AnErrorOfTheEngineFailsItsSampleOnly) {
  std::atomic<int> steps = 0;
  options_.hook = [&](const ScriptedPoint& point) {
    return point.phase == ScriptedPoint::Phase::kStep && ++steps == 2
               ? absl::InternalError("made up")
               : absl::OkStatus();
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 4);
  Submit(run_id, 2);
  EXPECT_EQ(WaitForEnd(run_id).samples_done, 1);
}

TEST_F(RunnerTest, ALostDeviceGivesTheSampleBackAndTakesNoOther) {
  std::atomic<bool> is_lost = false;
  options_.hook = [&](const ScriptedPoint& point) {
    is_lost = is_lost || (point.phase == ScriptedPoint::Phase::kStep &&
                          point.positions > 0);
    return is_lost ? absl::InternalError("made up") : absl::OkStatus();
  };
  options_.device = [&] {
    return is_lost ? absl::InternalError("no answer") : absl::OkStatus();
  };
  const std::string run_id = CreateRun("a", 4);
  Submit(run_id, 2);
  // Twice it is tried again; the third time it is the sample's fault.
  for (int death = 1; death <= 3; ++death) {
    Signal lost;
    on_device_lost_ = [&](const absl::Status& why) {
      EXPECT_EQ(why.message(), "no answer");
      lost.Notify();
    };
    if (death == 1) {
      StartRunner();
    } else {
      Restart();
    }
    lost.WaitForNotification();
    runner_->Stop(absl::ZeroDuration());
    is_lost = false;
    EXPECT_FALSE(IsTerminal(store_->GetRun(run_id)->state));
  }
  options_.hook = nullptr;
  Restart();
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.samples_failed, 1);
  EXPECT_EQ(run.samples_done, 1);
  for (const Event& event : Events(run_id))
    if (const auto* failure = std::get_if<SampleFailure>(&event.body)) {
      EXPECT_EQ(failure->reason, "SERVER_DIED");
    }
}

TEST_F(RunnerTest, LogitsThatAreNotFiniteFailTheSample) {
  options_.nan_logits = [](int64_t) { return true; };
  StartRunner();
  const std::string run_id = CreateRun("a", 4);
  Submit(run_id, 1);
  EXPECT_EQ(WaitForEnd(run_id).state, RunState::kFailed);
  EXPECT_EQ(std::get<SampleFailure>(Events(run_id)[1].body).reason,
            "NONFINITE_LOGITS");
}

// What the store refuses of the engine's own is no fault of the prompt's.
TEST_F(RunnerTest, AttentionThatIsNotFiniteFailsTheSample) {
  int64_t first = 0;
  options_.nan_rows = [&](int64_t position) {
    if (first == 0) first = position;
    return position == first + 2;
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 8);
  Submit(run_id, 1);
  EXPECT_EQ(WaitForEnd(run_id).state, RunState::kFailed);
  const std::vector<Event> events = Events(run_id);
  ASSERT_EQ(events.size(), 5u);  // start, two steps, failure, end of the run
  const auto& failure = std::get<SampleFailure>(events[3].body);
  EXPECT_EQ(failure.reason, "ENGINE_ERROR");
  EXPECT_EQ(failure.message, "event 'step' has a number that is not finite");
}

TEST_F(RunnerTest, CancellingARunStopsItsSample) {
  Signal reached, proceed;
  options_.hook = [&](const ScriptedPoint& point) {
    if (point.phase == ScriptedPoint::Phase::kStep &&
        !reached.HasBeenNotified()) {
      reached.Notify();
      proceed.WaitForNotification();
    }
    return absl::OkStatus();
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 64);
  Submit(run_id, 2);
  reached.WaitForNotification();
  Signal cancelled;
  store_->CancelRun(run_id, [&](const auto& run) {
    EXPECT_TRUE(run.ok()) << run.status();
    cancelled.Notify();
  });
  cancelled.WaitForNotification();
  proceed.Notify();
  EXPECT_EQ(WaitForEnd(run_id).state, RunState::kCancelled);
  // The engine goes on with the next run.
  const std::string next = CreateRun("b", 2);
  Submit(next, 1);
  EXPECT_EQ(WaitForEnd(next).state, RunState::kSucceeded);
  EXPECT_LT(observer_.steps, 64);
}

// What a run with slow steps has at its limit stays, nothing is computed after
// it, and the engine goes on with the next run.
TEST_F(RunnerTest, ATimeLimitStopsWhatRunsAndWhatWaits) {
  const absl::Duration limit = absl::Milliseconds(400);
  std::atomic<int> steps = 0;
  options_.hook = [&](const ScriptedPoint& point) {
    if (point.phase != ScriptedPoint::Phase::kStep) return absl::OkStatus();
    ++steps;
    absl::SleepFor(absl::Milliseconds(10));
    return absl::OkStatus();
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 3000, limit);
  Submit(run_id, 4);
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.state, RunState::kFailed);
  EXPECT_EQ(run.samples_failed, 4);
  EXPECT_GE(*run.end_time, *run.deadline);
  EXPECT_LE(*run.end_time, *run.deadline + absl::Milliseconds(500));
  const std::vector<Event> events = Events(run_id);
  ASSERT_GT(events.size(), 1u + 1 + 4 + 1);
  EXPECT_EQ(run.last_sequence, std::ssize(events));
  std::map<std::string, SampleFailure> failures;
  int64_t sequence = 0, recorded = 0;
  for (const Event& event : events) {
    EXPECT_EQ(event.sequence, ++sequence);
    recorded += std::holds_alternative<StepRecord>(event.body);
    if (const auto* failure = std::get_if<SampleFailure>(&event.body))
      failures[event.sample_id] = *failure;
  }
  EXPECT_EQ(failures.size(), 4u);
  for (const auto& [sample, failure] : failures)
    EXPECT_EQ(failure.reason, "DEADLINE_EXCEEDED");
  // The engine is free after at most the step that it was in.
  const int at_the_end = steps;
  const std::string next = CreateRun("b", 2);
  Submit(next, 1);
  EXPECT_EQ(WaitForEnd(next).state, RunState::kSucceeded);
  EXPECT_LE(steps, at_the_end + 2 + 2);
  EXPECT_EQ(Events(run_id).size(), events.size());
  EXPECT_LE(recorded, at_the_end);
}

TEST_F(RunnerTest, StoppingGivesTheSampleBackToTheQueue) {
  Signal reached;
  options_.hook = [&](const ScriptedPoint& point) {
    if (point.phase == ScriptedPoint::Phase::kStep &&
        !reached.HasBeenNotified())
      reached.Notify();
    return absl::OkStatus();
  };
  StartRunner();
  const std::string run_id = CreateRun("a", 900);
  Submit(run_id, 2);
  reached.WaitForNotification();
  runner_->Stop(absl::ZeroDuration());
  EXPECT_FALSE(IsTerminal(store_->GetRun(run_id)->state));
  // Both samples are run, the first as a second attempt.
  options_.hook = nullptr;
  options_.eos_every = 3;
  Restart();
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_EQ(run.samples_done, 2);
}

// Every run is taken up where the disk is well again, by the same runner; that
// the disk failed is not said of the samples.
TEST_F(RunnerTest, ADiskThatWasFullCostsNoSample) {
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();
  FaultyDisk disk;
  SqliteStoreOptions store_options;
  store_options.retry_interval = absl::Milliseconds(10);
  auto store = OpenSqliteStore(directory_ + "/test.db", store_options);
  ASSERT_TRUE(store.ok()) << store.status();
  store_ = std::move(*store);
  std::atomic<int> steps = 0;
  options_.hook = [&](const ScriptedPoint& point) {
    if (point.phase == ScriptedPoint::Phase::kStep && ++steps == 5)
      disk.FailAt(1, DiskFault::kFull, /*lasting=*/true);
    return absl::OkStatus();
  };
  const std::string run_id = CreateRun("a", 7);
  Submit(run_id, 4);
  StartRunner();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (disk.faults() < 20) ASSERT_LT(absl::Now(), deadline);
  disk.Mend();
  const RunInfo run = WaitForEnd(run_id);
  EXPECT_EQ(run.state, RunState::kSucceeded);
  EXPECT_EQ(run.samples_done, 4);
  runner_->Stop(absl::Seconds(10));
  EXPECT_EQ(observer_.failed, 0);
  ASSERT_TRUE(store_->Close().ok());
  store_.reset();  // before the disk
}

}  // namespace
}  // namespace kvrecall
