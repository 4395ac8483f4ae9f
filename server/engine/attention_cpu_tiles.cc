#include "server/engine/attention_cpu_tiles.h"

#include <algorithm>

namespace kvrecall {

using cpu::AttentionTile;
using cpu::Bfloat16;
using cpu::ColumnSums;
using cpu::kBlock;
using cpu::kLanes;

namespace {

// Rows (queries × heads of a group) of a tile: enough to hide the reading of
// keys and values behind the products, few enough that what a tile keeps
// (rows × positions floats) stays near.
constexpr int64_t kTileRows = 56;
// What all threads' tiles together may keep, in floats: 48 MiB.
constexpr int64_t kKeptFloats = int64_t{12} << 20;

}  // namespace

template <typename T>
void TileAttention<T>::AttendTile(const CpuCall<T>& call, int64_t head,
                                  int64_t first, int64_t count, Thread& thread,
                                  bool own_sums) const {
  const int64_t visible = call.positions - call.tq + first + count;
  AttentionTile<T> tile = call.StartTile(head);
  tile.blocks = (visible + kBlock - 1) / kBlock;
  tile.keep = !call.request.rows.empty() || !call.request.sums.empty();
  thread.tile.Fill(tile, static_cast<int>(count * call.per_group), tile.blocks);
  call.LoadQueries(head, first, count, tile);
  call.Run(tile);
  call.StoreOutput(head, first, count, tile.output, tile.exponent, tile.sum);
  if (tile.keep) Summarize(call, head, first, count, tile, thread, own_sums);
}

// The rows and sums that were asked for of a tile that was kept.
template <typename T>
void TileAttention<T>::Summarize(const CpuCall<T>& call, int64_t head,
                                 int64_t first, int64_t count,
                                 const AttentionTile<T>& tile, Thread& thread,
                                 bool own_sums) const {
  const int64_t visible = call.positions - call.tq + first + count;
  ColumnSums columns;
  columns.rows = tile.rows;
  columns.blocks = tile.blocks;
  columns.factor = 1 / static_cast<float>(call.per_group);
  columns.weights = tile.weights;
  columns.block_exponent = tile.block_exponent;
  columns.exponent = tile.exponent;
  columns.sum = tile.sum;
  columns.row_weights = thread.row_weights.Reserve(RoundUp(tile.rows, kLanes));
  columns.columns = visible;
  columns.end = tile.rows;
  for (size_t s = 0; s < call.request.sums.size(); ++s) {
    const SumTarget& target = call.request.sums[s];
    if (target.from_query >= first + count) continue;
    columns.begin = static_cast<int>(
        std::max<int64_t>(target.from_query - first, 0) * call.per_group);
    columns.add_to =
        own_sums ? target.sums.data_ptr<double>() + head * target.sums.stride(0)
                 : thread.sums[s].Reserve(0) + head * call.positions;
    call.kernels.column_sums(columns);
  }
  columns.add_to = nullptr;
  for (const RowTarget& target : call.request.rows) {
    if (target.query < first || target.query >= first + count) continue;
    columns.begin = static_cast<int>((target.query - first) * call.per_group);
    columns.end = columns.begin + static_cast<int>(call.per_group);
    columns.store = target.row.data_ptr<float>() + head * target.row.stride(0);
    call.kernels.column_sums(columns);
    std::fill(columns.store + visible, columns.store + call.positions, 0.0f);
  }
}

template <typename T>
void TileAttention<T>::Attend(const CpuCall<T>& call) {
  const int64_t threads = static_cast<int64_t>(threads_.size());
  const int64_t heads = call.layout.shape().kv_heads;
  const int64_t rows = std::clamp<int64_t>(
      kKeptFloats / (threads * call.layout.positions()), 1, kTileRows);
  const int64_t queries = std::max<int64_t>(rows / call.per_group, 1);
  const int64_t tiles = (call.tq + queries - 1) / queries;
  // Unit u = tile · heads + head is thread u % threads': where that fixes the
  // thread of each head, no two add to the same sums.
  const bool own_sums = heads % threads == 0;
  if (!own_sums)
    for (Thread& thread : threads_) {
      thread.sums.resize(call.request.sums.size());
      for (Buffer<double>& sums : thread.sums)
        std::fill_n(sums.Reserve(heads * call.positions),
                    heads * call.positions, 0.0);
    }
  RunWorkers(threads, [&](int64_t worker) {
    for (int64_t unit = worker; unit < tiles * heads; unit += threads) {
      const int64_t first = unit / heads * queries;
      AttendTile(call, unit % heads, first, std::min(queries, call.tq - first),
                 threads_[static_cast<size_t>(worker)], own_sums);
    }
  });
  if (!own_sums) Gather(call);
}

// Adds the threads' sums up.
template <typename T>
void TileAttention<T>::Gather(const CpuCall<T>& call) {
  for (size_t s = 0; s < call.request.sums.size(); ++s)
    for (Thread& thread : threads_)
      for (int64_t head = 0; head < call.layout.shape().kv_heads; ++head) {
        const at::Tensor& target = call.request.sums[s].sums;
        double* out = target.data_ptr<double>() + head * target.stride(0);
        const double* in = thread.sums[s].Reserve(0) + head * call.positions;
        for (int64_t j = 0; j < call.positions; ++j) out[j] += in[j];
      }
}

template class TileAttention<float>;
template class TileAttention<Bfloat16>;

}  // namespace kvrecall
