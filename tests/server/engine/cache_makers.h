#pragma once

// Every way there is to attend on this processor, as a parameter of tests:
// each instruction set's kernels, and the reference from libtorch's operators.

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention.h"
#include "server/engine/attention_cpu.h"

namespace kvrecall {

struct CacheMaker {
  std::string name;
  std::function<std::unique_ptr<KvCache>(const KvShape&,
                                         const at::TensorOptions&)>
      make;
};

inline void PrintTo(const CacheMaker& maker, std::ostream* out) {
  *out << maker.name;
}

inline std::vector<CacheMaker> CacheMakers() {
  std::vector<CacheMaker> makers = {{"aten", MakeAtenKvCache}};
  for (const cpu::Kernels* kernels : cpu::SupportedKernels())
    makers.push_back(
        {kernels->name,
         [kernels](const KvShape& shape, const at::TensorOptions& options) {
           return MakeCpuKvCache(shape, options, *kernels);
         }});
  return makers;
}

// The tensor's numbers in order, in float32.
inline std::vector<float> Flat(const at::Tensor& t) {
  const at::Tensor c = t.to(at::kFloat).contiguous();
  return {c.data_ptr<float>(), c.data_ptr<float>() + c.numel()};
}

// The largest difference, against the largest value there is.
inline double Distance(const at::Tensor& a, const at::Tensor& b) {
  return ((a.to(at::kDouble) - b).abs().max() / b.abs().max()).item<double>();
}

// The largest difference, each against the value there: small ones count as
// large ones do. `floor` is what any value counts as at least.
inline double RelativeDistance(const at::Tensor& a, const at::Tensor& b,
                               double floor = 1e-30) {
  return ((a.to(at::kDouble) - b).abs() / b.abs().clamp_min(floor))
      .max()
      .item<double>();
}

// libtorch's threads while one lives.
class ThreadCount {
 public:
  explicit ThreadCount(int threads) : saved_(at::get_num_threads()) {
    at::set_num_threads(threads);
  }
  ~ThreadCount() { at::set_num_threads(saved_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  const int saved_;
};

}  // namespace kvrecall
