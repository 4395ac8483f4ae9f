#pragma once

// Calls from any thread to the writer thread, and their results back.

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"

#include "server/store/event_log.h"
#include "server/store/group_commit.h"

namespace kvrecall {

// A result that one thread waits for and another gives.
template <typename T>
class Pending {
 public:
  void Set(T value) {
    // Notified under the lock: the waiter may destroy this right after.
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
    ready_.notify_one();
  }
  T Wait() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return value_.has_value(); });
    return *std::move(value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<T> value_;
};

// A command whose `run` yields a T, for a caller that waits for `done`.
template <typename T, typename Run>
Command CommandFor(Run run, absl::AnyInvocable<void(absl::StatusOr<T>)> done) {
  auto result = std::make_shared<std::optional<T>>();
  Command command;
  command.execute = [run = std::move(run),
                     result](Changes& changes) mutable -> absl::Status {
    result->reset();  // of a time that was rolled back
    absl::StatusOr<T> value = run(changes);
    if (!value.ok()) return std::move(value).status();
    result->emplace(*std::move(value));
    return absl::OkStatus();
  };
  command.finish = [result,
                    done = std::move(done)](absl::Status status) mutable {
    if (status.ok()) {
      done(*std::move(*result));
    } else {
      done(std::move(status));
    }
  };
  return command;
}

}  // namespace kvrecall
