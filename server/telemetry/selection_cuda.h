#pragma once

// The selector's kernel: selecting the top positions of rows on CUDA for
// several budgets at once, and weighing such sets, for all jobs in one launch.
// A block of threads has a row.

#include <cstdint>

#include "ATen/core/Tensor.h"

#include "server/telemetry/selector.h"

namespace kvrecall {

// One job as the device sees it: see SetJob. Offsets are into the numbers that
// come with the jobs.
struct DeviceSetJob {
  const void* scores;  // rows score_stride apart, float32 or float64
  const float* weights;
  const int16_t* other;  // or null
  int16_t* held;         // or null
  double* figures;       // [kSetFigures, rows, budgets]
  int64_t score_stride, weight_stride, other_stride, held_stride;
  int32_t first_row;  // of all jobs' rows
  int32_t rows;
  int32_t n;
  int32_t budgets;
  int32_t sizes, size_stride;  // of row r and budget b: r · size_stride + b
  int32_t last, last_stride;   // of budget b: b · last_stride
  int32_t had;                 // by budget; below 0: the sets are chosen anew
  int32_t is_double;
  int32_t count_fetched;
};

// Carries the jobs out on the device's current stream; nothing waits for it.
// The same input gives the same bits. `jobs`, uint8 on the device: `count`
// DeviceSetJobs in the order of their first rows, then the numbers, int32.
// `rows` is how many all jobs have. Every figure is written. Throws c10::Error
// where the launch is refused.
void FormRowsCuda(const at::Tensor& jobs, int64_t count, int64_t rows);

}  // namespace kvrecall
