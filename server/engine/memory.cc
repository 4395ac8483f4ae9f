#include "server/engine/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"

#include "server/engine/compat.h"

namespace kvrecall {
namespace {

// What libraries and the allocator take beside what is counted.
constexpr int64_t kSlack = int64_t{64} << 20;
// Per layer, KV head and position: sums in float64 and float32, last row and
// the step's rows, and what telemetry holds with every policy once in scope
// head: scores, masks, priorities, and rows in passing.
constexpr int64_t kStatisticsBytes = 128;

std::optional<int64_t> ReadNumber(const std::string& path) {
  std::ifstream in(path);
  int64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

// A line "name: 123 kB", or "name 123", in bytes or kB as it stands.
std::optional<int64_t> ReadField(const std::string& path,
                                 const std::string& name) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    if (word != name) continue;
    int64_t value = 0;
    if (in >> value) return value;
  }
  return std::nullopt;
}

// What the control group still allows; caches of files can be given up.
std::optional<int64_t> FreeOfGroup(const std::string& root) {
  const auto limit = ReadNumber(root + "/memory.max");
  const auto used = ReadNumber(root + "/memory.current");
  if (!limit || !used) return std::nullopt;
  const int64_t cached =
      ReadField(root + "/memory.stat", "inactive_file").value_or(0);
  return std::max<int64_t>(*limit - *used + cached, 0);
}

int64_t FreeHostMemory() {
  int64_t free = std::numeric_limits<int64_t>::max();
  if (const auto kilobytes = ReadField("/proc/meminfo", "MemAvailable:"))
    free = *kilobytes * 1024;
  if (const auto group = FreeOfGroup("/sys/fs/cgroup"))
    free = std::min(free, *group);
  return free;
}

std::string Gibibytes(int64_t bytes) {
  return absl::StrFormat("%.2f GiB", static_cast<double>(bytes) / (1 << 30));
}

}  // namespace

MemoryNeed NeedOf(const ModelInfo& info, int64_t intermediate_size,
                  int64_t positions, int64_t observer_bytes) {
  const int64_t number = info.dtype == "float32" ? 4 : 2;
  const int64_t chunk = std::min(info.prefill_chunk, positions);
  const int64_t heads = (info.query_heads + 2 * info.kv_heads) * info.head_dim;
  MemoryNeed need;
  need.kv_cache = positions * info.kv_bytes_per_token;
  need.statistics =
      std::max(kStatisticsBytes * info.layers * info.kv_heads * positions,
               observer_bytes);
  // Gate, up and their product, the projections, and a few of the hidden size.
  need.workspace =
      kSlack + info.vocabulary * 4 +
      chunk * number *
          (3 * intermediate_size + 2 * heads + 4 * info.hidden_size);
  return need;
}

int64_t FreeMemory(c10::Device device) {
  return device.is_cpu() ? FreeHostMemory() : FreeDeviceMemory(device);
}

absl::Status CheckMemory(const std::string& what, const MemoryNeed& need,
                         int64_t free) {
  if (need.total() <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%s needs %s of memory beside the weights (KV cache %s, statistics %s, "
      "work space %s); %s is free",
      what, Gibibytes(need.total()), Gibibytes(need.kv_cache),
      Gibibytes(need.statistics), Gibibytes(need.workspace), Gibibytes(free)));
}

int64_t LargestContext(const ModelInfo& info, int64_t intermediate_size,
                       int64_t window, int64_t free) {
  int64_t fits = 0, least_too_many = window + 1;
  while (fits + 1 < least_too_many) {
    const int64_t middle = fits + (least_too_many - fits) / 2;
    if (NeedOf(info, intermediate_size, middle).total() <= free)
      fits = middle;
    else
      least_too_many = middle;
  }
  return fits;
}

}  // namespace kvrecall
