#pragma once

// Who wants to know that a run has new events. Thread-safe.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace kvrecall {

class Listeners {
 public:
  Listeners();
  ~Listeners();

  // As Store::Subscribe. The handle may outlive this object.
  std::shared_ptr<void> Add(std::string run_id, std::function<void()> listener);

  bool Has(const std::string& run_id) const;

  // Calls the run's listeners. No lock is held that Add, or the end of another
  // handle, would need.
  void Notify(const std::string& run_id);

 private:
  class Entry;
  struct Registry;
  std::shared_ptr<Registry> registry_;
};

}  // namespace kvrecall
