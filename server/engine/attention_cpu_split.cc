#include "server/engine/attention_cpu_split.h"

#include <algorithm>
#include <cmath>

namespace kvrecall {

using cpu::AttentionTile;
using cpu::Bfloat16;
using cpu::ColumnSums;
using cpu::kBlock;
using cpu::kLanes;

namespace {

// Positions of a range: a fixed length, so that results do not depend on the
// number of threads.
constexpr int64_t kSplit = 4 * kBlock;

}  // namespace

template <typename T>
void SplitAttention<T>::Attend(const CpuCall<T>& call) {
  const int64_t heads = call.layout.shape().kv_heads;
  const int64_t head_lanes = call.layout.head_lanes();
  const int64_t splits = (call.positions + kSplit - 1) / kSplit;
  const int64_t blocks = (call.positions + kBlock - 1) / kBlock;
  const int rows = static_cast<int>(call.per_group);
  const int64_t units = heads * splits;
  const bool keep = !call.request.rows.empty() || !call.request.sums.empty();
  float* weights =
      keep ? split_.weights.Reserve(heads * blocks * rows * kBlock) : nullptr;
  float* block_exponent =
      keep ? split_.block_exponent.Reserve(heads * blocks * rows + kLanes)
           : nullptr;
  float* output = split_.output.Reserve(units * rows * head_lanes);
  float* exponent = split_.exponent.Reserve(units * rows);
  float* sum = split_.sum.Reserve(units * rows);
  merged_.Reserve(heads * (rows * (head_lanes + 3) + 3 * kLanes));
  const int64_t workers =
      std::min<int64_t>(static_cast<int64_t>(threads_.size()), units);
  RunWorkers(workers, [&](int64_t worker) {
    // Neighbouring ranges to one worker.
    const int64_t begin = units * worker / workers;
    const int64_t end = units * (worker + 1) / workers;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t head = unit / splits, split = unit % splits;
      AttentionTile<T> tile = call.StartTile(head);
      tile.first_block = split * (kSplit / kBlock);
      tile.blocks =
          std::min<int64_t>(kSplit / kBlock, blocks - tile.first_block);
      threads_[static_cast<size_t>(worker)].Fill(tile, rows, 0);
      call.LoadQueries(head, 0, 1, tile);
      if (keep) {
        const int64_t block = head * blocks + tile.first_block;
        tile.keep = true;
        tile.weights = weights + block * rows * kBlock;
        tile.block_exponent = block_exponent + block * rows;
      }
      tile.output = output + unit * rows * head_lanes;
      tile.exponent = exponent + unit * rows;
      tile.sum = sum + unit * rows;
      call.Run(tile);
    }
  });
  RunWorkers(heads, [&](int64_t head) { Merge(call, head, splits); });
}

template <typename T>
void SplitAttention<T>::Merge(const CpuCall<T>& call, int64_t head,
                              int64_t splits) {
  const int64_t rows = call.per_group;
  const int64_t head_lanes = call.layout.head_lanes();
  float* out =
      merged_.Reserve(0) + head * (rows * (head_lanes + 3) + 3 * kLanes);
  float* exponent = out + rows * head_lanes;
  float* sum = exponent + rows + kLanes;
  float* row_weights = sum + rows + kLanes;
  const float* outputs =
      split_.output.Reserve(0) + head * splits * rows * head_lanes;
  const float* exponents = split_.exponent.Reserve(0) + head * splits * rows;
  const float* sums = split_.sum.Reserve(0) + head * splits * rows;
  std::fill_n(out, rows * head_lanes, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    exponent[r] = exponents[r];
    for (int64_t s = 1; s < splits; ++s)
      exponent[r] = std::max(exponent[r], exponents[s * rows + r]);
    sum[r] = 0;
    for (int64_t s = 0; s < splits; ++s) {
      const float factor = std::exp2(exponents[s * rows + r] - exponent[r]);
      sum[r] += sums[s * rows + r] * factor;
      const float* part = outputs + (s * rows + r) * head_lanes;
      for (int64_t d = 0; d < head_lanes; ++d)
        out[r * head_lanes + d] += part[d] * factor;
    }
  }
  call.StoreOutput(head, 0, 1, out, exponent, sum);
  if (!call.request.rows.empty() || !call.request.sums.empty())
    StoreRows(call, head, exponent, sum, row_weights);
}

// The rows and sums that were asked for, from what the ranges kept.
template <typename T>
void SplitAttention<T>::StoreRows(const CpuCall<T>& call, int64_t head,
                                  const float* exponent, const float* sum,
                                  float* row_weights) {
  const int64_t rows = call.per_group;
  const int64_t blocks = (call.positions + kBlock - 1) / kBlock;
  ColumnSums columns;
  columns.rows = static_cast<int>(rows);
  columns.end = columns.rows;
  columns.blocks = blocks;
  columns.factor = 1 / static_cast<float>(rows);
  columns.weights = split_.weights.Reserve(0) + head * blocks * rows * kBlock;
  columns.block_exponent =
      split_.block_exponent.Reserve(0) + head * blocks * rows;
  columns.exponent = exponent;
  columns.sum = sum;
  columns.row_weights = row_weights;
  columns.columns = call.positions;
  for (const RowTarget& target : call.request.rows) {
    columns.store = target.row.data_ptr<float>() + head * target.row.stride(0);
    call.kernels.column_sums(columns);
  }
  columns.store = nullptr;
  for (const SumTarget& target : call.request.sums) {
    if (target.from_query > 0) continue;
    columns.add_to =
        target.sums.data_ptr<double>() + head * target.sums.stride(0);
    call.kernels.column_sums(columns);
  }
}

template class SplitAttention<float>;
template class SplitAttention<Bfloat16>;

}  // namespace kvrecall
