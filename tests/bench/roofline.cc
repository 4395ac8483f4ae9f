#include "tests/bench/roofline.h"

#include <algorithm>

#include "ATen/ATen.h"
#include "ATen/Parallel.h"

#include "server/engine/linear.h"
#include "server/huge_pages.h"
#include "tests/bench/timing.h"

namespace kvrecall::bench {
namespace {

// As much of a model as is read, at the most: far more than the caches hold.
constexpr int64_t kMostBytes = int64_t{1} << 30;
// A GPU reads half a GiB in the time that a launch and a wait take a good part
// of.
constexpr int64_t kDeviceBufferBytes = int64_t{4} << 30;

typedef uint64_t Vec8 __attribute__((vector_size(64), aligned(8)));

// Several chains, so that only memory limits, and a fetch `ahead` bytes before
// the reading: how far is best differs between processors.
uint64_t ReadAll(const char* begin, const char* end, int64_t ahead) {
  constexpr int64_t kLine = 64;
  Vec8 sums[4] = {};
  for (const char* p = begin; p + 4 * kLine <= end; p += 4 * kLine)
    for (int i = 0; i < 4; ++i) {
      __builtin_prefetch(p + ahead + i * kLine);
      sums[i] ^= *reinterpret_cast<const Vec8*>(p + i * kLine);
    }
  const Vec8 sum = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  return sum[0] ^ sum[1] ^ sum[2] ^ sum[3] ^ sum[4] ^ sum[5] ^ sum[6] ^ sum[7];
}

// The best of several runs, in seconds.
template <typename Body>
double BestTime(const at::Device& device, Body body) {
  body();
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const double seconds = Seconds(device, body);
    if (i == 0 || seconds < best) best = seconds;
  }
  return best;
}

// Of x [m, k] · w [n, k]ᵀ.
double BestRate(int64_t m, int64_t n, int64_t k,
                const at::TensorOptions& options) {
  const at::Tensor x = at::randn({m, k}, options);
  const at::Tensor w = at::randn({n, k}, options);
  const double seconds =
      std::min({BestTime(options.device(), [&] { at::linear(x, w); }),
                BestTime(options.device(), [&] { Linear(x, w, {}); }),
                BestTime(options.device(), [&] { LinearToFloat(x, w); })});
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) *
         static_cast<double>(k) / seconds;
}

}  // namespace

ReadBandwidth::ReadBandwidth(at::Device device, const ModelInfo& info,
                             int64_t intermediate_size) {
  if (!device.is_cpu()) {
    // Of numbers that are summed as they are: others would be converted first.
    const auto options = at::TensorOptions().dtype(at::kFloat).device(device);
    blocks_.push_back(
        at::ones({kDeviceBufferBytes / int64_t{sizeof(float)}}, options));
    return;
  }
  const int64_t q = info.query_heads * info.head_dim;
  const int64_t kv = info.kv_heads * info.head_dim;
  const int64_t width = info.dtype == "float32" ? 4 : 2;
  const int64_t per_input = width * info.hidden_size;
  int64_t bytes = 0;
  const auto add = [&](int64_t size) {
    size = std::min(size, kMostBytes - bytes);
    if (size <= 0) return;
    blocks_.push_back(
        ZerosOnHugePages({size}, at::TensorOptions().dtype(at::kByte))
            .fill_(1));
    bytes += size;
  };
  for (int64_t l = 0; l < info.layers; ++l)
    for (const int64_t numbers :
         {q + 2 * kv, q, 2 * intermediate_size, intermediate_size})
      add(numbers * per_input);
  add(info.vocabulary * per_input);
  double best = 0;
  for (const int64_t ahead : {512, 1024, 2048, 4096})
    for (int i = 0; i < 3; ++i) {
      const double rate = Read(ahead);
      if (rate <= best) continue;
      best = rate;
      ahead_ = ahead;
    }
}

double ReadBandwidth::Read(int64_t ahead) const {
  const int64_t threads = at::get_num_threads();
  std::vector<uint64_t> sums(static_cast<size_t>(threads));
  int64_t bytes = 0;
  const double seconds = Seconds(at::kCPU, [&] {
    for (const at::Tensor& block : blocks_) {
      const char* data = static_cast<const char*>(block.data_ptr());
      const int64_t part = block.numel() / threads;
      bytes += part * threads;
      at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t t = begin; t < end; ++t)
          sums[static_cast<size_t>(t)] ^=
              ReadAll(data + t * part, data + (t + 1) * part, ahead);
      });
    }
  });
  // A use that the compiler cannot see through.
  volatile uint64_t sink = sums[0];
  (void)sink;
  return static_cast<double>(bytes) / seconds;
}

double ReadBandwidth::Measure() const {
  const at::Tensor& first = blocks_[0];
  if (first.device().is_cpu()) return Read(ahead_);
  return static_cast<double>(first.nbytes()) /
         BestTime(first.device(), [&] { first.sum(); });
}

std::vector<ProductRate> ProductRates(const ModelInfo& info,
                                      int64_t intermediate_size,
                                      int64_t prompt_tokens,
                                      const at::TensorOptions& options) {
  const int64_t hidden = info.hidden_size;
  const int64_t q = info.query_heads * info.head_dim;
  const int64_t kv = info.kv_heads * info.head_dim;
  const int64_t rows = std::min(info.prefill_chunk, prompt_tokens);
  const double tokens = static_cast<double>(prompt_tokens);
  const double layers = static_cast<double>(info.layers);
  std::vector<ProductRate> rates;
  const auto linear = [&](const char* name, int64_t in, int64_t out) {
    rates.push_back({name,
                     2.0 * layers * tokens * static_cast<double>(in) *
                         static_cast<double>(out),
                     BestRate(rows, out, in, options)});
  };
  linear("query, key, value", hidden, q + 2 * kv);
  linear("attention output", q, hidden);
  linear("gate, up", hidden, 2 * intermediate_size);
  linear("down", intermediate_size, hidden);
  // FlashAttention is no pair of products whose operands go through memory.
  if (!options.device().is_cpu()) return rates;
  // The causal half, a product with the keys and one with the values.
  const double half = layers * static_cast<double>(q) * tokens * (tokens + 1);
  const int64_t tile = 64 * (info.query_heads / info.kv_heads);
  rates.push_back({"queries · keys", half,
                   BestRate(tile, prompt_tokens, info.head_dim, options)});
  rates.push_back({"weights · values", half,
                   BestRate(tile, info.head_dim, prompt_tokens, options)});
  return rates;
}

}  // namespace kvrecall::bench
