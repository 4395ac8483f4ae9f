#include "server/engine/attention_cpu.h"

#include <algorithm>
#include <type_traits>
#include <vector>

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

  at::Tensor Keys(int64_t layer, int64_t first, int64_t count) const override {
    return layout_.Keys(layer, first, count);
  }
  at::Tensor Values(int64_t layer, int64_t first,
                    int64_t count) const override {
    return layout_.Values(layer, first, count);
  }

  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override;
  AttentionResult Attend(int64_t layer, int64_t positions,
                         const at::Tensor& queries,
                         const AttentionRequest& request) const override;
  at::Tensor AttendMasked(int64_t layer, int64_t past,
                          const LaneQueries& lanes) const override;

 private:
  const cpu::Kernels& kernels_;
  CpuKvLayout<T> layout_;
  mutable TileAttention<T> tiles_;
  mutable SplitAttention<T> split_;
};

template <typename T>
AttentionResult CpuKvCache<T>::Attend(int64_t layer, int64_t positions,
                                      const at::Tensor& queries,
                                      const AttentionRequest& request) const {
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

template <typename T>
at::Tensor CpuKvCache<T>::AttendMasked(int64_t layer, int64_t past,
                                       const LaneQueries& lanes) const {
  const at::Tensor queries = WithPackedNumbers(lanes.queries);
  const at::Tensor keys = WithPackedNumbers(lanes.keys);
  const at::Tensor values = WithPackedNumbers(lanes.values);
  std::vector<at::Tensor> visible;
  for (const at::Tensor& rows : lanes.visible)
    visible.push_back(WithPackedNumbers(rows));
  const int64_t query_heads = queries.size(1);
  at::Tensor output = at::empty(queries.sizes(), layout_.options());
  const AttentionRequest nothing_more;
  const CpuCall<T> call = {layout_,
                           kernels_,
                           layer,
                           past + 1,
                           queries.size(0),
                           query_heads,
                           query_heads / layout_.shape().kv_heads,
                           HeadRows<T>(queries),
                           reinterpret_cast<T*>(output.data_ptr()),
                           /*log_sum_exp=*/nullptr,
                           nothing_more};
  split_.AttendMasked(call, {HeadRows<T>(keys), HeadRows<T>(values), visible});
  return output;
}

template <typename T>
at::Tensor CpuKvCache<T>::KeyProducts(const at::Tensor& directions,
                                      int64_t positions) const {
  const KvShape& shape = layout_.shape();
  const int64_t numbers = layout_.head_units() * cpu::Unit<T>::kNumbers;
  at::Tensor padded = directions.contiguous();
  if (numbers != shape.head_dim)
    padded =
        at::constant_pad_nd(padded, {0, numbers - shape.head_dim}, /*value=*/0);
  at::Tensor products =
      at::empty({shape.layers, shape.kv_heads, positions}, padded.options());
  RunWorkers(shape.layers * shape.kv_heads, [&](int64_t row) {
    cpu::KeyProducts<T> head;
    head.keys = layout_.KeyUnits(row / shape.kv_heads, row % shape.kv_heads);
    head.head_units = static_cast<int>(layout_.head_units());
    head.direction = padded.data_ptr<float>() + row * numbers;
    head.positions = positions;
    head.out = products.data_ptr<float>() + row * positions;
    if constexpr (std::is_same_v<T, cpu::Bfloat16>)
      kernels_.key_products_bfloat16(head);
    else
      kernels_.key_products_float(head);
  });
  return products;
}

}  // namespace

std::unique_ptr<KvCache> MakeCpuKvCache(const KvShape& shape,
                                        const at::TensorOptions& options,
                                        const cpu::Kernels& kernels) {
  if (options.dtype() == at::kBFloat16)
    return std::make_unique<CpuKvCache<cpu::Bfloat16>>(shape, options, kernels);
  return std::make_unique<CpuKvCache<float>>(shape, options, kernels);
}

}  // namespace kvrecall
