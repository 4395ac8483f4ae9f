#pragma once

// Takes samples out of the store's queue, prepares their prompts, runs them
// and puts their records into the store.
//
// Threads: one that leases and tokenises, one that runs the model (the engine
// thread). Between them one prepared sample waits, so that the engine never
// waits for a tokenizer. Start and Stop belong to the thread that owns the
// Runner.

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"

#include "server/engine/model.h"
#include "server/runner/observer.h"
#include "server/runner/prompt_builder.h"
#include "server/store/store.h"

namespace kvrecall {

class Runner {
 public:
  // All arguments must outlive the runner; `model` is the engine thread's
  // alone from now on. Where the model's device is lost, the sample that ran
  // goes back to the queue as after a death of the server, no other is taken,
  // and `on_device_lost` is called, once, on the engine thread: the process
  // should end, and another take over.
  static std::unique_ptr<Runner> Start(
      Model& model, const PromptBuilder& prompts, Store& store,
      RunnerObserver& observer,
      std::function<void(const absl::Status&)> on_device_lost = {});
  ~Runner();

  // Takes no further samples, lets the one that runs finish within `grace`,
  // then gives it back to the queue; returns when both threads have ended.
  // Idempotent.
  void Stop(absl::Duration grace);

 private:
  class Threads;
  explicit Runner(std::unique_ptr<Threads> threads);
  std::unique_ptr<Threads> threads_;
};

}  // namespace kvrecall
