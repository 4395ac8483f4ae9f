#include "server/service/read_executor.h"

#include <utility>

#include "server/thread_name.h"

namespace kvrecall {

ReadExecutor::ReadExecutor(int threads, const char* name) {
  for (int i = 0; i < threads; ++i)
    threads_.emplace_back([this, name] {
      NameThread(name);
      Run();
    });
}

ReadExecutor::~ReadExecutor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  posted_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ReadExecutor::Post(absl::AnyInvocable<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  posted_.notify_one();
}

void ReadExecutor::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    posted_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    absl::AnyInvocable<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it holds is released outside the lock
    lock.lock();
  }
}

}  // namespace kvrecall
