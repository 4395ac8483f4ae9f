#include "server/engine/attention_cpu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/cpu/kernels.h"

namespace kvrecall {
namespace {

using cpu::AttentionTile;
using cpu::Bfloat16;
using cpu::ColumnSums;
using cpu::kBlock;
using cpu::kLanes;
using cpu::Unit;

constexpr double kLog2E = 1.4426950408889634;

// Rows (queries × heads of a group) of a prefill tile: enough to hide the
// reading of keys and values behind the products, few enough that what a tile
// keeps (rows × positions floats) stays near.
constexpr int64_t kTileRows = 56;
// What all threads' tiles together may keep, in floats: 48 MiB.
constexpr int64_t kKeptFloats = int64_t{12} << 20;
// Positions that a single query's work is split into: a fixed length, so that
// results do not depend on the number of threads.
constexpr int64_t kSplit = 4 * kBlock;

int64_t RoundUp(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Runs body(worker) once for each of `workers`.
template <typename Body>
void RunWorkers(int64_t workers, const Body& body) {
  at::parallel_for(0, workers, 1, [&](int64_t begin, int64_t end) {
    const cpu::FlushTinyNumbers guard;
    for (int64_t worker = begin; worker < end; ++worker) body(worker);
  });
}

// The same rows; the numbers of one stand side by side.
at::Tensor WithPackedNumbers(const at::Tensor& rows) {
  return rows.stride(-1) == 1 ? rows : rows.contiguous();
}

// Memory that grows and is not initialised.
template <typename T>
class Buffer {
 public:
  T* Reserve(int64_t size) {
    if (size > size_) {
      data_.reset(static_cast<T*>(std::aligned_alloc(
          64, static_cast<size_t>(RoundUp(size * sizeof(T), 64)))));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = size;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
  int64_t size_ = 0;
};

// What a tile writes, on one thread.
template <typename T>
struct Workspace {
  Buffer<typename Unit<T>::Type> queries, scratch;
  Buffer<float> output, exponent, sum, lane_sums, weights, block_exponent,
      row_weights;
  Buffer<int64_t> limits;
  std::vector<Buffer<double>> sums;  // one for each target

  // Buffers for `rows` against `blocks` of kept positions.
  void Fill(AttentionTile<T>& tile, int rows, int64_t blocks) {
    constexpr int kNumbers = Unit<T>::kNumbers;
    // Whole vectors over rows may be read.
    const int64_t padded = RoundUp(rows, kLanes);
    tile.rows = rows;
    tile.queries = queries.Reserve(padded * tile.head_units);
    tile.limits = limits.Reserve(padded);
    tile.output = output.Reserve(padded * tile.head_lanes);
    tile.exponent = exponent.Reserve(padded);
    tile.sum = sum.Reserve(padded);
    tile.lane_sums = lane_sums.Reserve(padded * kLanes);
    tile.scratch = scratch.Reserve(int64_t{rows} * kBlock / kNumbers);
    tile.weights = weights.Reserve(rows * kBlock * (tile.keep ? blocks : 1));
    tile.block_exponent = block_exponent.Reserve(rows * blocks + kLanes);
    row_weights.Reserve(padded);
  }
};

template <typename T>
class CpuKvCache final : public KvCache {
 public:
  using U = typename Unit<T>::Type;
  static constexpr int kNumbers = Unit<T>::kNumbers;

  CpuKvCache(const KvShape& shape, const at::TensorOptions& options,
             const cpu::Kernels& kernels)
      : shape_(shape),
        options_(options),
        kernels_(kernels),
        positions_(RoundUp(std::max<int64_t>(shape.capacity, 1), kBlock)),
        head_units_((shape.head_dim + kNumbers - 1) / kNumbers),
        head_lanes_(RoundUp(shape.head_dim, kLanes)),
        key_units_(positions_ * head_units_),
        value_units_(positions_ / kNumbers * head_lanes_),
        // Zeros: what a block reads behind the last position must be finite,
        // and padding must add nothing.
        keys_(at::zeros({shape.layers * shape.kv_heads * key_units_ * kNumbers},
                        options)),
        values_(
            at::zeros({shape.layers * shape.kv_heads * value_units_ * kNumbers},
                      options)),
        workers_(static_cast<size_t>(std::max(at::get_num_threads(), 1))) {}

  void Write(int64_t layer, int64_t position, const at::Tensor& keys,
             const at::Tensor& values) override;
  at::Tensor Keys(int64_t layer, int64_t positions) const override;
  at::Tensor Values(int64_t layer, int64_t positions) const override;
  AttentionResult Attend(int64_t layer, int64_t positions,
                         const at::Tensor& queries,
                         const AttentionRequest& request) const override;

 private:
  // One call of Attend.
  struct Call {
    int64_t layer, positions, tq, query_heads, per_group;
    const T* queries;                   // [tq, query_heads, head_dim]
    int64_t query_stride, head_stride;  // of `queries`
    T* output;                          // [tq, query_heads, head_dim]
    float* log_sum_exp;                 // [query_heads, tq]
    const AttentionRequest& request;
  };

  U* KeyUnits(int64_t layer, int64_t head) const {
    return reinterpret_cast<U*>(keys_.data_ptr()) +
           (layer * shape_.kv_heads + head) * key_units_;
  }
  U* ValueUnits(int64_t layer, int64_t head) const {
    return reinterpret_cast<U*>(values_.data_ptr()) +
           (layer * shape_.kv_heads + head) * value_units_;
  }

  AttentionTile<T> StartTile(const Call& call, int64_t head) const;
  void LoadQueries(const Call& call, int64_t head, int64_t first, int64_t count,
                   const AttentionTile<T>& tile) const;
  void StoreOutput(const Call& call, int64_t head, int64_t first, int64_t count,
                   const float* output, const float* exponent,
                   const float* sum) const;
  void Run(const AttentionTile<T>& tile) const;
  void AttendTiles(const Call& call) const;
  void AttendTile(const Call& call, int64_t head, int64_t first, int64_t count,
                  size_t worker, bool own_sums) const;
  void AttendSplit(const Call& call) const;
  void Merge(const Call& call, int64_t head, int64_t splits) const;

  const KvShape shape_;
  const at::TensorOptions options_;
  const cpu::Kernels& kernels_;
  const int64_t positions_;  // capacity in whole blocks
  const int64_t head_units_, head_lanes_;
  const int64_t key_units_, value_units_;  // of one layer and head
  at::Tensor keys_;    // [layers, kv_heads, positions/16, head_units, 16] units
  at::Tensor values_;  // [layers, kv_heads, positions/s, head_lanes] units
  mutable std::vector<Workspace<T>> workers_;
  // Of a split call: [kv_heads · splits, …] as in a tile, and what is merged.
  mutable Workspace<T> split_;
  mutable Buffer<float> merged_;
};

template <typename T>
void CpuKvCache<T>::Write(int64_t layer, int64_t position,
                          const at::Tensor& keys, const at::Tensor& values) {
  const int64_t count = keys.size(0);
  const int64_t dim = shape_.head_dim;
  const at::Tensor key_rows = WithPackedNumbers(keys);
  const at::Tensor value_rows = WithPackedNumbers(values);
  const T* k = reinterpret_cast<const T*>(key_rows.data_ptr());
  const T* v = reinterpret_cast<const T*>(value_rows.data_ptr());
  const auto write_head = [&](int64_t head) {
    T* key_out = reinterpret_cast<T*>(KeyUnits(layer, head));
    T* value_out = reinterpret_cast<T*>(ValueUnits(layer, head));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t p = position + i;
      const T* key = k + i * key_rows.stride(0) + head * key_rows.stride(1);
      T* lane =
          key_out + (p / kLanes * head_units_ * kLanes + p % kLanes) * kNumbers;
      for (int64_t d = 0; d < dim; ++d)
        lane[d / kNumbers * kLanes * kNumbers + d % kNumbers] = key[d];
      const T* value =
          v + i * value_rows.stride(0) + head * value_rows.stride(1);
      T* row = value_out + p / kNumbers * head_lanes_ * kNumbers + p % kNumbers;
      for (int64_t d = 0; d < dim; ++d) row[d * kNumbers] = value[d];
    }
  };
  if (count == 1) {
    for (int64_t head = 0; head < shape_.kv_heads; ++head) write_head(head);
    return;
  }
  RunWorkers(shape_.kv_heads, write_head);
}

template <typename T>
at::Tensor CpuKvCache<T>::Keys(int64_t layer, int64_t positions) const {
  at::Tensor keys =
      at::empty({shape_.kv_heads, positions, shape_.head_dim}, options_);
  T* out = reinterpret_cast<T*>(keys.data_ptr());
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    const T* in = reinterpret_cast<const T*>(KeyUnits(layer, head));
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t d = 0; d < shape_.head_dim; ++d)
        *out++ = in[((p / kLanes * head_units_ + d / kNumbers) * kLanes +
                     p % kLanes) *
                        kNumbers +
                    d % kNumbers];
  }
  return keys;
}

template <typename T>
at::Tensor CpuKvCache<T>::Values(int64_t layer, int64_t positions) const {
  at::Tensor values =
      at::empty({shape_.kv_heads, positions, shape_.head_dim}, options_);
  T* out = reinterpret_cast<T*>(values.data_ptr());
  for (int64_t head = 0; head < shape_.kv_heads; ++head) {
    const T* in = reinterpret_cast<const T*>(ValueUnits(layer, head));
    for (int64_t p = 0; p < positions; ++p)
      for (int64_t d = 0; d < shape_.head_dim; ++d)
        *out++ = in[(p / kNumbers * head_lanes_ + d) * kNumbers + p % kNumbers];
  }
  return values;
}

template <typename T>
AttentionTile<T> CpuKvCache<T>::StartTile(const Call& call,
                                          int64_t head) const {
  AttentionTile<T> tile;
  tile.head_units = static_cast<int>(head_units_);
  tile.head_lanes = static_cast<int>(head_lanes_);
  tile.scale = static_cast<float>(
      kLog2E / std::sqrt(static_cast<double>(shape_.head_dim)));
  tile.keys = KeyUnits(call.layer, head);
  tile.values = ValueUnits(call.layer, head);
  return tile;
}

// Row i · per_group + h of the tile is query `first` + i of the group's head h.
template <typename T>
void CpuKvCache<T>::LoadQueries(const Call& call, int64_t head, int64_t first,
                                int64_t count,
                                const AttentionTile<T>& tile) const {
  const int64_t dim = shape_.head_dim;
  const int64_t row_numbers = head_units_ * kNumbers;
  T* row = reinterpret_cast<T*>(const_cast<U*>(tile.queries));
  int64_t* limit = const_cast<int64_t*>(tile.limits);
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t h = 0; h < call.per_group; ++h) {
      std::memcpy(row,
                  call.queries + i * call.query_stride +
                      (head * call.per_group + h) * call.head_stride,
                  static_cast<size_t>(dim) * sizeof(T));
      for (int64_t d = dim; d < row_numbers; ++d) row[d] = T{};
      row += row_numbers;
      *limit++ = call.positions - call.tq + i + 1;
    }
}

inline void StoreNumber(float value, float* out) { *out = value; }
inline void StoreNumber(float value, Bfloat16* out) {
  out->bits = c10::BFloat16(value).x;
}

template <typename T>
void CpuKvCache<T>::StoreOutput(const Call& call, int64_t head, int64_t first,
                                int64_t count, const float* output,
                                const float* exponent, const float* sum) const {
  const int64_t dim = shape_.head_dim;
  int64_t row = 0;
  for (int64_t i = first; i < first + count; ++i)
    for (int64_t h = 0; h < call.per_group; ++h, ++row) {
      const int64_t query_head = head * call.per_group + h;
      T* out = call.output + (i * call.query_heads + query_head) * dim;
      const float factor = 1 / sum[row];
      for (int64_t d = 0; d < dim; ++d)
        StoreNumber(output[row * head_lanes_ + d] * factor, out + d);
      call.log_sum_exp[query_head * call.tq + i] = static_cast<float>(
          (exponent[row] + std::log2(static_cast<double>(sum[row]))) / kLog2E);
    }
}

template <>
void CpuKvCache<float>::Run(const AttentionTile<float>& tile) const {
  kernels_.attend_float(tile);
}
template <>
void CpuKvCache<Bfloat16>::Run(const AttentionTile<Bfloat16>& tile) const {
  kernels_.attend_bfloat16(tile);
}

template <typename T>
void CpuKvCache<T>::AttendTile(const Call& call, int64_t head, int64_t first,
                               int64_t count, size_t worker,
                               bool own_sums) const {
  Workspace<T>& space = workers_[worker];
  const int64_t visible = call.positions - call.tq + first + count;
  AttentionTile<T> tile = StartTile(call, head);
  tile.blocks = (visible + kBlock - 1) / kBlock;
  tile.keep = !call.request.rows.empty() || !call.request.sums.empty();
  space.Fill(tile, static_cast<int>(count * call.per_group), tile.blocks);
  LoadQueries(call, head, first, count, tile);
  Run(tile);
  StoreOutput(call, head, first, count, tile.output, tile.exponent, tile.sum);

  ColumnSums columns;
  columns.rows = tile.rows;
  columns.blocks = tile.blocks;
  columns.factor = 1 / static_cast<float>(call.per_group);
  columns.weights = tile.weights;
  columns.block_exponent = tile.block_exponent;
  columns.exponent = tile.exponent;
  columns.sum = tile.sum;
  columns.row_weights = space.row_weights.Reserve(0);
  columns.columns = visible;
  columns.end = tile.rows;
  for (size_t s = 0; s < call.request.sums.size(); ++s) {
    const SumTarget& target = call.request.sums[s];
    if (target.from_query >= first + count) continue;
    columns.begin = static_cast<int>(
        std::max<int64_t>(target.from_query - first, 0) * call.per_group);
    columns.add_to =
        own_sums ? target.sums.data_ptr<double>() + head * target.sums.stride(0)
                 : space.sums[s].Reserve(0) + head * call.positions;
    kernels_.column_sums(columns);
  }
  columns.add_to = nullptr;
  for (const RowTarget& target : call.request.rows) {
    if (target.query < first || target.query >= first + count) continue;
    columns.begin = static_cast<int>((target.query - first) * call.per_group);
    columns.end = columns.begin + static_cast<int>(call.per_group);
    columns.store = target.row.data_ptr<float>() + head * target.row.stride(0);
    kernels_.column_sums(columns);
    std::fill(columns.store + visible, columns.store + call.positions, 0.0f);
  }
}

template <typename T>
void CpuKvCache<T>::AttendTiles(const Call& call) const {
  const int64_t workers = static_cast<int64_t>(workers_.size());
  const int64_t heads = shape_.kv_heads;
  const int64_t rows =
      std::clamp<int64_t>(kKeptFloats / (workers * positions_), 1, kTileRows);
  const int64_t queries = std::max<int64_t>(rows / call.per_group, 1);
  const int64_t tiles = (call.tq + queries - 1) / queries;
  // Unit u = tile · heads + head is worker u % workers': where that fixes the
  // worker of each head, no two add to the same sums.
  const bool own_sums = heads % workers == 0;
  if (!own_sums)
    for (Workspace<T>& space : workers_) {
      space.sums.resize(call.request.sums.size());
      for (Buffer<double>& sums : space.sums)
        std::fill_n(sums.Reserve(heads * call.positions),
                    heads * call.positions, 0.0);
    }
  RunWorkers(workers, [&](int64_t worker) {
    for (int64_t unit = worker; unit < tiles * heads; unit += workers) {
      const int64_t first = unit / heads * queries;
      AttendTile(call, unit % heads, first, std::min(queries, call.tq - first),
                 static_cast<size_t>(worker), own_sums);
    }
  });
  if (own_sums) return;
  for (size_t s = 0; s < call.request.sums.size(); ++s)
    for (Workspace<T>& space : workers_)
      for (int64_t head = 0; head < heads; ++head) {
        const at::Tensor& target = call.request.sums[s].sums;
        double* out = target.data_ptr<double>() + head * target.stride(0);
        const double* in = space.sums[s].Reserve(0) + head * call.positions;
        for (int64_t j = 0; j < call.positions; ++j) out[j] += in[j];
      }
}

// A single query: heads × ranges of positions side by side, then merged.
template <typename T>
void CpuKvCache<T>::AttendSplit(const Call& call) const {
  const int64_t heads = shape_.kv_heads;
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
  float* output = split_.output.Reserve(units * rows * head_lanes_);
  float* exponent = split_.exponent.Reserve(units * rows);
  float* sum = split_.sum.Reserve(units * rows);
  merged_.Reserve(heads * (rows * (head_lanes_ + 3) + 3 * kLanes));
  const int64_t workers =
      std::min<int64_t>(static_cast<int64_t>(workers_.size()), units);
  RunWorkers(workers, [&](int64_t worker) {
    // Neighbouring ranges to one worker.
    const int64_t begin = units * worker / workers;
    const int64_t end = units * (worker + 1) / workers;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t head = unit / splits, split = unit % splits;
      AttentionTile<T> tile = StartTile(call, head);
      tile.first_block = split * (kSplit / kBlock);
      tile.blocks =
          std::min<int64_t>(kSplit / kBlock, blocks - tile.first_block);
      workers_[static_cast<size_t>(worker)].Fill(tile, rows, 0);
      LoadQueries(call, head, 0, 1, tile);
      if (keep) {
        const int64_t block = head * blocks + tile.first_block;
        tile.keep = true;
        tile.weights = weights + block * rows * kBlock;
        tile.block_exponent = block_exponent + block * rows;
      }
      tile.output = output + unit * rows * head_lanes_;
      tile.exponent = exponent + unit * rows;
      tile.sum = sum + unit * rows;
      Run(tile);
    }
  });
  RunWorkers(std::min<int64_t>(static_cast<int64_t>(workers_.size()), heads),
             [&](int64_t worker) {
               for (int64_t head = worker; head < heads;
                    head += static_cast<int64_t>(workers_.size()))
                 Merge(call, head, splits);
             });
}

template <typename T>
void CpuKvCache<T>::Merge(const Call& call, int64_t head,
                          int64_t splits) const {
  const int64_t rows = call.per_group;
  const int64_t blocks = (call.positions + kBlock - 1) / kBlock;
  float* out =
      merged_.Reserve(0) + head * (rows * (head_lanes_ + 3) + 3 * kLanes);
  float* exponent = out + rows * head_lanes_;
  float* sum = exponent + rows + kLanes;
  float* row_weights = sum + rows + kLanes;
  const float* outputs =
      split_.output.Reserve(0) + head * splits * rows * head_lanes_;
  const float* exponents = split_.exponent.Reserve(0) + head * splits * rows;
  const float* sums = split_.sum.Reserve(0) + head * splits * rows;
  std::fill_n(out, rows * head_lanes_, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    exponent[r] = exponents[r];
    for (int64_t s = 1; s < splits; ++s)
      exponent[r] = std::max(exponent[r], exponents[s * rows + r]);
    sum[r] = 0;
    for (int64_t s = 0; s < splits; ++s) {
      const float factor = std::exp2(exponents[s * rows + r] - exponent[r]);
      sum[r] += sums[s * rows + r] * factor;
      const float* part = outputs + (s * rows + r) * head_lanes_;
      for (int64_t d = 0; d < head_lanes_; ++d)
        out[r * head_lanes_ + d] += part[d] * factor;
    }
  }
  StoreOutput(call, head, 0, 1, out, exponent, sum);
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
    kernels_.column_sums(columns);
  }
  columns.store = nullptr;
  for (const SumTarget& target : call.request.sums) {
    if (target.from_query > 0) continue;
    columns.add_to =
        target.sums.data_ptr<double>() + head * target.sums.stride(0);
    kernels_.column_sums(columns);
  }
}

template <typename T>
AttentionResult CpuKvCache<T>::Attend(int64_t layer, int64_t positions,
                                      const at::Tensor& queries,
                                      const AttentionRequest& request) const {
  const at::Tensor rows = WithPackedNumbers(queries);
  const int64_t tq = queries.size(0);
  const int64_t query_heads = queries.size(1);
  AttentionResult result;
  result.output = at::empty(queries.sizes(), options_);
  result.log_sum_exp = at::empty({query_heads, tq}, options_.dtype(at::kFloat));
  const Call call = {layer,
                     positions,
                     tq,
                     query_heads,
                     query_heads / shape_.kv_heads,
                     reinterpret_cast<const T*>(rows.data_ptr()),
                     rows.stride(0),
                     rows.stride(1),
                     reinterpret_cast<T*>(result.output.data_ptr()),
                     result.log_sum_exp.template data_ptr<float>(),
                     request};
  if (tq == 1)
    AttendSplit(call);
  else
    AttendTiles(call);
  return result;
}

}  // namespace

std::unique_ptr<KvCache> MakeCpuKvCache(const KvShape& shape,
                                        const at::TensorOptions& options,
                                        const cpu::Kernels& kernels) {
  if (options.dtype() == at::kBFloat16)
    return std::make_unique<CpuKvCache<Bfloat16>>(shape, options, kernels);
  return std::make_unique<CpuKvCache<float>>(shape, options, kernels);
}

}  // namespace kvrecall
