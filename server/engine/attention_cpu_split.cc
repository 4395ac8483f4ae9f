#include "server/engine/attention_cpu_split.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

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

int64_t Blocks(int64_t positions) { return (positions + kBlock - 1) / kBlock; }

// Words of a mask over whole blocks.
int64_t MaskWords(int64_t positions) {
  return Blocks(positions) * (kBlock / kLanes);
}

// Of eight bytes, a bit for each that is not 0: 0x7f on top of a byte's low
// seven bits carries into its highest where they are not 0. As 0 or 1, byte i
// is bit 8 · i, and the factor's bit 56 − 7 · i takes it to bit 56 + i; no two
// products meet.
uint16_t PackEight(const uint8_t* bytes) {
  static_assert(std::endian::native == std::endian::little);
  constexpr uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  uint64_t eight;
  std::memcpy(&eight, bytes, sizeof(eight));
  const uint64_t ones = (((eight & kLow) + kLow) | eight) >> 7 & ~kLow >> 7;
  return static_cast<uint16_t>((ones * 0x0102040810204080) >> 56);
}

// A bit for each of `past` bytes (which may be null where there are none), one
// that is set for the position behind them, and zeros to the end of the words.
void PackMask(const uint8_t* bytes, int64_t past, int64_t words,
              uint16_t* out) {
  int64_t word = 0;
  for (; (word + 1) * kLanes <= past; ++word)
    out[word] =
        static_cast<uint16_t>(PackEight(bytes + word * kLanes) |
                              PackEight(bytes + word * kLanes + 8) << 8);
  std::fill(out + word, out + words, uint16_t{0});
  for (int64_t j = word * kLanes; j <= past; ++j)
    if (j == past || bytes[j] != 0)
      out[j / kLanes] |= static_cast<uint16_t>(1 << (j % kLanes));
}

}  // namespace

template <typename T>
void SplitAttention<T>::AttendRanges(const CpuCall<T>& call,
                                     const CpuLanes<T>* lanes) {
  const int64_t heads = call.layout.shape().kv_heads;
  const int64_t head_lanes = call.layout.head_lanes();
  const int64_t splits = (call.positions + kSplit - 1) / kSplit;
  const int64_t blocks = Blocks(call.positions);
  const int rows = static_cast<int>(call.tq * call.per_group);
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
    Thread& thread = threads_[static_cast<size_t>(worker)];
    // Neighbouring ranges to one worker.
    const int64_t begin = units * worker / workers;
    const int64_t end = units * (worker + 1) / workers;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t head = unit / splits, split = unit % splits;
      AttentionTile<T> tile = call.StartTile(head);
      tile.first_block = split * (kSplit / kBlock);
      tile.blocks =
          std::min<int64_t>(kSplit / kBlock, blocks - tile.first_block);
      thread.tile.Fill(tile, rows, 0);
      call.LoadQueries(head, 0, call.tq, tile);
      if (keep) {
        const int64_t block = head * blocks + tile.first_block;
        tile.keep = true;
        tile.weights = weights + block * rows * kBlock;
        tile.block_exponent = block_exponent + block * rows;
      }
      tile.output = output + unit * rows * head_lanes;
      tile.exponent = exponent + unit * rows;
      tile.sum = sum + unit * rows;
      if (lanes == nullptr)
        call.Run(tile);
      else
        AttendLanes(call, *lanes, head, tile, thread);
    }
  });
  RunWorkers(heads, [&](int64_t head) { Merge(call, head, splits); });
}

// One range of one head: what all lanes share of it, then, if the range has
// it, the last block of each lane.
template <typename T>
void SplitAttention<T>::AttendLanes(const CpuCall<T>& call,
                                    const CpuLanes<T>& lanes, int64_t head,
                                    AttentionTile<T> tile, Thread& thread) {
  constexpr int kNumbers = cpu::Unit<T>::kNumbers;
  const int64_t last = Blocks(call.positions) - 1;
  const bool has_last = tile.first_block + tile.blocks > last;
  tile.mask_rows = static_cast<int>(call.per_group);
  tile.mask_stride = MaskWords(call.positions);
  tile.masks = masks_.Reserve(0) + head * call.tq * tile.mask_stride;
  if (has_last) --tile.blocks;
  if (tile.blocks > 0) call.Run(tile);
  if (!has_last) return;

  const int64_t key_units = kBlock * call.layout.head_units();
  const int64_t value_units = kBlock / kNumbers * call.layout.head_lanes();
  U* keys = thread.keys.Reserve(key_units);
  U* values = thread.values.Reserve(value_units);
  std::copy_n(tile.keys + last * key_units, key_units, keys);
  std::copy_n(tile.values + last * value_units, value_units, values);
  AttentionTile<T> own = tile;
  own.resume = tile.blocks > 0;
  own.keys = keys;
  own.values = values;
  own.rows = tile.mask_rows;
  own.first_block = 0;
  own.blocks = 1;
  own.masks += last * (kBlock / kLanes);
  const int64_t own_position = (call.positions - 1) % kBlock;
  for (int64_t lane = 0; lane < call.tq; ++lane) {
    call.layout.StoreKey(lanes.keys.At(lane, head), own_position, keys);
    call.layout.StoreValue(lanes.values.At(lane, head), own_position, values);
    call.Run(own);
    own.queries += own.rows * own.head_units;
    own.output += own.rows * own.head_lanes;
    own.exponent += own.rows;
    own.sum += own.rows;
    own.lane_sums += own.rows * kLanes;
    own.masks += own.mask_stride;
  }
}

template <typename T>
void SplitAttention<T>::PackMasks(const CpuCall<T>& call,
                                  const CpuLanes<T>& lanes) {
  const int64_t heads = call.layout.shape().kv_heads;
  const int64_t words = MaskWords(call.positions);
  uint16_t* masks = masks_.Reserve(heads * call.tq * words);
  for (int64_t lane = 0; lane < call.tq; ++lane) {
    const at::Tensor& visible = lanes.visible[static_cast<size_t>(lane)];
    const bool one = visible.size(0) == 1;
    for (int64_t head = 0; head < heads; ++head) {
      uint16_t* out = masks + (head * call.tq + lane) * words;
      if (one && head > 0) {
        std::copy_n(masks + lane * words, words, out);
        continue;
      }
      // A mask over nothing has no data to step through.
      const int64_t past = call.positions - 1;
      const uint8_t* bytes =
          past == 0 ? nullptr
                    : visible.data_ptr<uint8_t>() + head * visible.stride(0);
      PackMask(bytes, past, words, out);
    }
  }
}

template <typename T>
void SplitAttention<T>::AttendMasked(const CpuCall<T>& call,
                                     const CpuLanes<T>& lanes) {
  PackMasks(call, lanes);
  AttendRanges(call, &lanes);
}

template <typename T>
void SplitAttention<T>::Merge(const CpuCall<T>& call, int64_t head,
                              int64_t splits) {
  const int64_t rows = call.tq * call.per_group;
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
  call.StoreOutput(head, 0, call.tq, out, exponent, sum);
  if (!call.request.rows.empty() || !call.request.sums.empty())
    StoreRows(call, head, exponent, sum, row_weights);
}

// The rows and sums that were asked for, from what the ranges kept.
template <typename T>
void SplitAttention<T>::StoreRows(const CpuCall<T>& call, int64_t head,
                                  const float* exponent, const float* sum,
                                  float* row_weights) {
  const int64_t rows = call.per_group;
  const int64_t blocks = Blocks(call.positions);
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
