#pragma once

// What ran on a GPU while it was looked at: each kernel's name, begin and
// length. libtorch's profiler (Kineto) by CUPTI; writes Chrome's trace format,
// which chrome://tracing, Perfetto and tests/bench/kernel_times.py read.

#include <string>

#include "absl/status/status.h"

namespace kvrecall::bench {

// From the call to End; one at a time, on one thread.
void BeginKernelProfile();

// Unavailable: the file cannot be written.
absl::Status EndKernelProfile(const std::string& path);

}  // namespace kvrecall::bench
