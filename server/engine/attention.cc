#include "server/engine/attention.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/engine/attention_cuda.h"
#endif

namespace kvrecall {

std::unique_ptr<KvCache> MakeKvCache(const KvShape& shape,
                                     const at::TensorOptions& options) {
  if (options.device().is_cpu())
    return MakeCpuKvCache(shape, options, cpu::BestKernels());
#ifdef KVRECALL_WITH_CUDA
  if (CudaKvCacheTakes(shape, options)) return MakeCudaKvCache(shape, options);
#endif
  return MakeAtenKvCache(shape, options);
}

}  // namespace kvrecall
