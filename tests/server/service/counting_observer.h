#pragma once

// Counts what RPC services report. Thread-safe.

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>

#include "absl/strings/str_cat.h"

#include "server/service/rpc_observer.h"

namespace kvrecall {

class CountingObserver final : public RpcObserver {
 public:
  void OnCallHandled(std::string_view method, int code) override {
    std::lock_guard lock(mutex_);
    ++handled_[absl::StrCat(std::string(method), " ", code)];
  }
  void OnStreamOpened() override {
    std::lock_guard lock(mutex_);
    ++opened_;
  }
  void OnStreamClosed() override {
    std::lock_guard lock(mutex_);
    ++closed_;
    changed_.notify_all();
  }

  int handled(const std::string& method_and_code) {
    std::lock_guard lock(mutex_);
    return handled_[method_and_code];
  }
  int opened() {
    std::lock_guard lock(mutex_);
    return opened_;
  }
  int closed() {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  void WaitForClosed(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ == count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, int> handled_;
  int opened_ = 0;
  int closed_ = 0;
};

}  // namespace kvrecall
