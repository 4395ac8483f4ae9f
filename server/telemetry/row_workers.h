#pragma once

// Which thread has which row, on the CPU: row r of every scope is always with
// worker r mod workers. Two processor cores may have no cache in common; what
// one of them wrote at this step or the one before, it reads and writes again.

#include <algorithm>
#include <cstdint>

#include "ATen/Parallel.h"

namespace kvrecall {

// Calls body(worker, workers) for each of the workers, at most `rows` of them,
// on threads of their own; returns when all are done.
template <typename Body>
void RunRowWorkers(int64_t rows, Body body) {
  const int64_t workers =
      std::max<int64_t>(std::min<int64_t>(at::get_num_threads(), rows), 1);
  at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker) body(worker, workers);
  });
}

}  // namespace kvrecall
