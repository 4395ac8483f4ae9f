#include "server/engine/attention_cpu.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/kernels.h"
#include "server/engine/attention_cpu_call.h"
#include "server/engine/attention_cpu_split.h"
#include "server/engine/attention_cpu_tiles.h"
#include "server/engine/kv_layout_cpu.h"

namespace kvrecall {
namespace {

template <typename T>
class CpuKvCache final : public KvCache {
 public:
  CpuKvCache(const KvShape& shape, const at::TensorOptions& options,
             const cpu::Kernels& kernels)
      : kernels_(kernels),
        layout_(shape, options),
        tiles_(std::max(at::get_num_threads(), 1)),
        split_(std::max(at::get_num_threads(), 1)) {}

  void Write(int64_t layer, int64_t position, const at::Tensor& keys,
             const at::Tensor& values) override {
    layout_.Write(layer, position, keys, values);
  }

  at::Tensor Keys(int64_t layer, int64_t positions) const override {
    return layout_.Keys(layer, 0, positions);
  }
  at::Tensor Values(int64_t layer, int64_t positions) const override {
    return layout_.Values(layer, 0, positions);
  }

  AttentionResult Attend(int64_t layer, int64_t positions,
                         const at::Tensor& queries,
                         const AttentionRequest& request) const override {
    const at::Tensor rows = WithPackedNumbers(queries);
    const int64_t tq = queries.size(0);
    const int64_t query_heads = queries.size(1);
    AttentionResult result;
    result.output = at::empty(queries.sizes(), layout_.options());
    result.log_sum_exp =
        at::empty({query_heads, tq}, layout_.options().dtype(at::kFloat));
    const CpuCall<T> call = {layout_,
                             kernels_,
                             layer,
                             positions,
                             tq,
                             query_heads,
                             query_heads / layout_.shape().kv_heads,
                             HeadRows<T>(rows),
                             reinterpret_cast<T*>(result.output.data_ptr()),
                             result.log_sum_exp.template data_ptr<float>(),
                             request};
    if (tq == 1)
      split_.Attend(call);
    else
      tiles_.Attend(call);
    return result;
  }

 private:
  const cpu::Kernels& kernels_;
  CpuKvLayout<T> layout_;
  mutable TileAttention<T> tiles_;
  mutable SplitAttention<T> split_;
};

}  // namespace

std::unique_ptr<KvCache> MakeCpuKvCache(const KvShape& shape,
                                        const at::TensorOptions& options,
                                        const cpu::Kernels& kernels) {
  if (options.dtype() == at::kBFloat16)
    return std::make_unique<CpuKvCache<cpu::Bfloat16>>(shape, options, kernels);
  return std::make_unique<CpuKvCache<float>>(shape, options, kernels);
}

}  // namespace kvrecall
