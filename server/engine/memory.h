#pragma once

// How much memory a text needs beside the weights, and how much there is: so
// that what cannot fit is refused before any work. Thread-safe.

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "c10/core/Device.h"

#include "server/engine/model.h"

namespace kvrecall {

// Bytes, of one text at its longest.
struct MemoryNeed {
  int64_t kv_cache = 0;
  // Column sums, rows and scores of engine and telemetry.
  int64_t statistics = 0;
  // Activations of a prefill chunk, logits and attention's tiles.
  int64_t workspace = 0;
  // Cosines and sines of the positions: the model's, made once for all texts.
  int64_t tables = 0;

  int64_t total() const { return kv_cache + statistics + workspace + tables; }
};

// An upper bound for a text of `positions`. `intermediate_size` is the width
// of the feed-forward layers. `observer_bytes`: what telemetry will hold, where
// that may be more than every policy once in scope head.
MemoryNeed NeedOf(const ModelInfo& info, int64_t intermediate_size,
                  int64_t positions, int64_t observer_bytes = 0);

// Bytes that can be had now: on the CPU what the system calls available,
// within the limits of the process's control groups; on CUDA what the device
// has free. The largest number where the system does not say. Caches of files
// can be had.
int64_t FreeMemory(c10::Device device);

// The same of a Linux system whose /proc and /sys stand below `root`: for
// tests.
int64_t FreeHostMemory(const std::string& root);

// OK if `need` is within `free`; else ResourceExhausted with the numbers.
// `what`: "a text of 32768 positions".
absl::Status CheckMemory(const std::string& what, const MemoryNeed& need,
                         int64_t free);

// The most positions, at most `window`, whose need is within `free`; 0 if not
// even one fits.
int64_t LargestContext(const ModelInfo& info, int64_t intermediate_size,
                       int64_t window, int64_t free);

}  // namespace kvrecall
