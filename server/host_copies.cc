#include "server/host_copies.h"

#ifdef KVRECALL_WITH_CUDA
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAGuard.h"
#include "c10/cuda/CUDAStream.h"
#include <cuda_runtime_api.h>
#endif

namespace kvrecall {

#ifdef KVRECALL_WITH_CUDA

struct HostCopies::Point {
  Point() {
    C10_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
  ~Point() { cudaEventDestroy(event); }
  Point(const Point&) = delete;
  Point& operator=(const Point&) = delete;

  cudaEvent_t event = nullptr;
  bool is_marked = false;
};

at::Tensor HostCopies::Add(const at::Tensor& t) {
  if (t.device().is_cpu()) return t;
  const c10::cuda::CUDAGuard guard(t.device());
  at::Tensor host = at::empty(
      t.sizes(), at::TensorOptions().dtype(t.dtype()).pinned_memory(true));
  host.copy_(t, /*non_blocking=*/true);
  if (last_ == nullptr) last_ = std::make_unique<Point>();
  C10_CUDA_CHECK(
      cudaEventRecord(last_->event, c10::cuda::getCurrentCUDAStream()));
  last_->is_marked = true;
  return host;
}

void HostCopies::Wait() {
  if (last_ == nullptr || !last_->is_marked) return;
  last_->is_marked = false;
  C10_CUDA_CHECK(cudaEventSynchronize(last_->event));
}

#else

struct HostCopies::Point {};

at::Tensor HostCopies::Add(const at::Tensor& t) { return t; }

void HostCopies::Wait() {}

#endif

HostCopies::HostCopies() = default;
HostCopies::~HostCopies() = default;

}  // namespace kvrecall
