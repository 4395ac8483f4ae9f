#include "server/store/listeners.h"

#include <utility>

namespace kvrecall {

// A listener and its right to be called. The mutex is held during the call,
// so that taking the right away waits for it.
class Listeners::Entry {
 public:
  explicit Entry(std::function<void()> listener)
      : listener_(std::move(listener)) {}

  void Call() {
    std::lock_guard lock(mutex_);
    if (listener_) listener_();
  }

  void Stop() {
    std::lock_guard lock(mutex_);
    listener_ = nullptr;
  }

 private:
  std::mutex mutex_;
  std::function<void()> listener_;  // null: not to be called any more
};

struct Listeners::Registry {
  std::mutex mutex;
  std::unordered_map<std::string, std::vector<std::shared_ptr<Entry>>> by_run;

  void Remove(const std::string& run_id, const Entry* entry) {
    std::lock_guard lock(mutex);
    const auto it = by_run.find(run_id);
    if (it == by_run.end()) return;
    std::erase_if(it->second,
                  [&](const auto& other) { return other.get() == entry; });
    if (it->second.empty()) by_run.erase(it);
  }
};

Listeners::Listeners() : registry_(std::make_shared<Registry>()) {}

Listeners::~Listeners() = default;

std::shared_ptr<void> Listeners::Add(std::string run_id,
                                     std::function<void()> listener) {
  auto entry = std::make_shared<Entry>(std::move(listener));
  {
    std::lock_guard lock(registry_->mutex);
    registry_->by_run[run_id].push_back(entry);
  }
  Entry* const handle = entry.get();
  return std::shared_ptr<void>(
      handle, [registry = std::weak_ptr<Registry>(registry_),
               run_id = std::move(run_id), entry = std::move(entry)](void*) {
        if (auto alive = registry.lock()) alive->Remove(run_id, entry.get());
        entry->Stop();
      });
}

bool Listeners::Has(const std::string& run_id) const {
  std::lock_guard lock(registry_->mutex);
  return registry_->by_run.contains(run_id);
}

void Listeners::Notify(const std::string& run_id) {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    std::lock_guard lock(registry_->mutex);
    const auto it = registry_->by_run.find(run_id);
    if (it != registry_->by_run.end()) entries = it->second;
  }
  for (const auto& entry : entries) entry->Call();
}

}  // namespace kvrecall
