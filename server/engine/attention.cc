#include "server/engine/attention.h"

#include "ATen/ATen.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention_aten.h"
#include "server/engine/attention_cpu.h"
#ifdef KVRECALL_WITH_CUDA
#include "server/engine/attention_cuda.h"
#endif

namespace kvrecall {

at::Tensor KvCache::AttendMasked(int64_t layer, int64_t past,
                                 const LaneQueries& lanes) const {
  return AttendMaskedWithAten(Keys(layer, 0, past), Values(layer, 0, past),
                              lanes);
}

at::Tensor KvCache::KeyProducts(const at::Tensor& directions,
                                int64_t positions) const {
  const int64_t layers = directions.size(0);
  at::Tensor products =
      at::empty({layers, directions.size(1), positions}, directions.options());
  for (int64_t l = 0; l < layers; ++l)
    products[l].copy_(at::matmul(Keys(l, 0, positions).to(at::kFloat),
                                 directions[l].unsqueeze(-1))
                          .squeeze(-1));
  return products;
}

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
