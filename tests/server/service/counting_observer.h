#pragma once

// Counts what RPC services report. Thread-safe.

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

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
  void OnStreamClosed(StreamEnd why) override {
    std::lock_guard lock(mutex_);
    ++closed_;
    ++ends_[why];
    changed_.notify_all();
  }
  void OnStreamMessage(int64_t records_behind) override {
    std::lock_guard lock(mutex_);
    behind_.push_back(records_behind);
  }
  void OnAdmission(Admission result, int64_t samples) override {
    std::lock_guard lock(mutex_);
    admissions_[result] += samples;
  }

  int handled(const std::string& method_and_code) {
    std::lock_guard lock(mutex_);
    return handled_[method_and_code];
  }
  int ended(StreamEnd why) {
    std::lock_guard lock(mutex_);
    return ends_[why];
  }
  // Of each message with records, what was left for later.
  std::vector<int64_t> behind() {
    std::lock_guard lock(mutex_);
    return behind_;
  }
  int64_t admitted(Admission result) {
    std::lock_guard lock(mutex_);
    return admissions_[result];
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
  std::map<StreamEnd, int> ends_;
  std::vector<int64_t> behind_;
  std::map<Admission, int64_t> admissions_;
  int opened_ = 0;
  int closed_ = 0;
};

}  // namespace kvrecall
