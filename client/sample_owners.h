#pragma once

// That each sample of a study is in one of its runs alone. Thread-safe.

#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"

namespace kvrecall {

class SampleOwners {
 public:
  // An event of the sample came from the `run`-th run. InvalidArgument: one of
  // it came from another.
  absl::Status Claim(const std::string& sample_id, size_t run);

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, size_t> owners_;  // by sample
};

}  // namespace kvrecall
