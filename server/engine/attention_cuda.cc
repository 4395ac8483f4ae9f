#include "server/engine/attention_cuda.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "c10/cuda/CUDAException.h"
#include "c10/cuda/CUDAGuard.h"
#include <cuda_runtime_api.h>

#include "server/engine/attention_aten.h"
#include "server/engine/attention_cuda_kernels.h"
#include "server/engine/compat.h"

namespace kvrecall {
namespace {

class CudaKvCache final : public PlainKvCache {
 public:
  using PlainKvCache::PlainKvCache;

  void Write(int64_t layer, int64_t position, const at::Tensor& keys,
             const at::Tensor& values) override {
    StoreKeysValuesCuda(keys, values, Slot(layer, position, keys.size(0)));
  }

  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override {
    const at::Tensor keys = cache().select(1, 0).narrow(2, 0, positions);
    const at::Tensor packed = directions.contiguous();
    return KeyProductsCuda(
        reinterpret_cast<uintptr_t>(packed.const_data_ptr()) % 16 == 0
            ? packed
            : packed.clone(),
        keys);
  }

  AttentionResult Attend(int64_t layer, int64_t positions,
                         const at::Tensor& queries,
                         const AttentionRequest& request) const override {
    const c10::cuda::CUDAGuard guard(cache().device());
    const at::Tensor q = queries.contiguous();
    const at::Tensor keys = Keys(layer, 0, positions);
    const at::Tensor values = Values(layer, 0, positions);
    if (!CudaKernelsTake(q.size(2), q.size(1) / keys.size(0)))
      return AttendWithAten(keys, values, q, request);
    return q.size(0) == 1 ? AttendOne(q, keys, values, request)
                          : AttendChunk(q, keys, values, request);
  }

  at::Tensor AttendMasked(int64_t layer, int64_t past,
                          const LaneQueries& lanes) const override {
    const at::Tensor keys = Keys(layer, 0, past);
    const at::Tensor values = Values(layer, 0, past);
    return CudaKernelsTake(keys.size(2), lanes.queries.size(1) / keys.size(0))
               ? AttendMaskedCuda(keys, values, lanes)
               : AttendMaskedWithAten(keys, values, lanes);
  }

 private:
  static AttentionResult AttendOne(const at::Tensor& query,
                                   const at::Tensor& keys,
                                   const at::Tensor& values,
                                   const AttentionRequest& request) {
    const int64_t n = keys.size(1);
    at::Tensor row;
    if (!request.rows.empty())
      row = request.rows[0].row;
    else if (!request.sums.empty())
      row = at::empty({keys.size(0), n}, query.options().dtype(at::kFloat));
    AttentionResult result = DecodeCuda(query, keys, values, row);
    for (size_t i = 1; i < request.rows.size(); ++i)
      request.rows[i].row.narrow(1, 0, n).copy_(row.narrow(1, 0, n));
    for (const SumTarget& target : request.sums)
      if (target.from_query <= 0)
        target.sums.narrow(1, 0, n).add_(row.narrow(1, 0, n));
    return result;
  }

  static AttentionResult AttendChunk(const at::Tensor& queries,
                                     const at::Tensor& keys,
                                     const at::Tensor& values,
                                     const AttentionRequest& request) {
    AttentionResult result = queries.scalar_type() == at::kBFloat16
                                 ? FlashAttention(queries, keys, values)
                                 : AttendWithAten(keys, values, queries, {});
    for (const RowTarget& target : request.rows)
      StoreRowCuda(queries, keys, result.log_sum_exp, target.query, target.row);
    for (const SumTarget& target : request.sums)
      AddColumnSumsCuda(queries, keys, result.log_sum_exp, target.from_query,
                        target.sums);
    return result;
  }
};

}  // namespace

bool CudaKvCacheTakes(const KvShape& shape, const at::TensorOptions& options) {
  const at::ScalarType dtype = c10::typeMetaToScalarType(options.dtype());
  if (!options.device().is_cuda() || !CudaKernelsTake(shape.head_dim, 1) ||
      (dtype != at::kFloat && dtype != at::kBFloat16))
    return false;
  int major = 0;
  C10_CUDA_CHECK(cudaDeviceGetAttribute(
      &major, cudaDevAttrComputeCapabilityMajor,
      std::max(0, static_cast<int>(options.device().index()))));
  return major >= 8;
}

std::unique_ptr<KvCache> MakeCudaKvCache(const KvShape& shape,
                                         const at::TensorOptions& options) {
  return std::make_unique<CudaKvCache>(shape, options);
}

}  // namespace kvrecall
