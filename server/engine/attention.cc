#include "server/engine/attention.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention_cpu.h"

namespace kvrecall {

std::unique_ptr<KvCache> MakeKvCache(const KvShape& shape,
                                     const at::TensorOptions& options) {
  if (options.device().is_cpu())
    return MakeCpuKvCache(shape, options, cpu::BestKernels());
  return MakeAtenKvCache(shape, options);
}

}  // namespace kvrecall
