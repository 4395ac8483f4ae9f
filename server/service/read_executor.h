#pragma once

// A few threads that read the store on behalf of gRPC callbacks, which must
// not wait for a disk. Thread-safe.
//
// The queue has no limit of its own: a unary call posts one task, a stream has
// at most one posted, so it never holds more than there are calls.

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"

namespace kvrecall {

class ReadExecutor {
 public:
  // `name` of its threads: a literal.
  explicit ReadExecutor(int threads, const char* name = "reader");
  // Runs what was posted, then joins. Nothing may be posted any more, except
  // by those tasks.
  ~ReadExecutor();
  ReadExecutor(const ReadExecutor&) = delete;
  ReadExecutor& operator=(const ReadExecutor&) = delete;

  void Post(absl::AnyInvocable<void()> task);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<absl::AnyInvocable<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace kvrecall
