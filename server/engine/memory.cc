#include "server/engine/memory.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>

#include "absl/strings/str_format.h"

#include "server/engine/compat.h"
#include "server/engine/control_groups.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
// What libraries and the allocator take beside what is counted.
constexpr int64_t kSlack = int64_t{64} << 20;
// Per layer, KV head and position: sums in float64 and float32, last row and
// the step's rows, and what telemetry holds with every policy once in scope
// head: scores, masks, priorities, and rows in passing.
constexpr int64_t kStatisticsBytes = 128;

// Column sums that a prefill gathers: over all queries and over a window's.
constexpr int64_t kSumTargets = 2;

// A line "name: 123 kB", or "name 123", in bytes or kB as it stands.
std::optional<int64_t> ReadField(const fs::path& path,
                                 const std::string& name) {
  std::ifstream in(path);
  for (std::string word; in >> word;) {
    if (word != name) continue;
    int64_t value = 0;
    if (in >> value) return value;
  }
  return std::nullopt;
}

// What a control group's files are called.
struct GroupFiles {
  const char *limit, *used;
  // Fields of memory.stat.
  const char *inactive_file, *active_file;
};
constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes",
                                  "memory.usage_in_bytes",
                                  "total_inactive_file", "total_active_file"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current",
                                  "inactive_file", "active_file"};

// What one control group still allows. Caches of files can be given up, those
// in use too, as MemAvailable counts them.
int64_t FreeOfGroup(const fs::path& group, const GroupFiles& files) {
  const auto limit = ReadNumber(group / files.limit);
  const auto used = ReadNumber(group / files.used);
  if (!limit || !used) return kUnlimited;
  const fs::path stat = group / "memory.stat";
  const int64_t cached = ReadField(stat, files.inactive_file).value_or(0) +
                         ReadField(stat, files.active_file).value_or(0);
  return std::max<int64_t>(*limit - *used + cached, 0);
}

// What the process's control groups allow.
int64_t FreeOfOwnGroups(const fs::path& root) {
  int64_t free = kUnlimited;
  VisitOwnGroups(root, "memory", [&](const fs::path& group, int version) {
    free = std::min(free,
                    FreeOfGroup(group, version == 2 ? kVersion2 : kVersion1));
  });
  return free;
}

// Column sums of one layer that each thread keeps for itself, where the heads
// do not divide evenly among the threads.
int64_t ThreadSums(const ModelInfo& info, int64_t positions) {
  const int64_t threads = std::max(info.threads, 1);
  if (info.device != "cpu" || info.kv_heads % threads == 0) return 0;
  return threads * kSumTargets * info.kv_heads * positions *
         static_cast<int64_t>(sizeof(double));
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
               observer_bytes) +
      ThreadSums(info, positions);
  // Gate, up and their product, the projections, and a few of the hidden size.
  need.workspace =
      kSlack + info.vocabulary * 4 +
      chunk * number *
          (3 * intermediate_size + 2 * heads + 4 * info.hidden_size);
  need.tables = positions * info.head_dim * static_cast<int64_t>(sizeof(float));
  return need;
}

int64_t FreeHostMemory(const std::string& root) {
  int64_t free = FreeOfOwnGroups(root);
  if (const auto kilobytes =
          ReadField(fs::path(root) / "proc/meminfo", "MemAvailable:"))
    free = std::min(free, *kilobytes * 1024);
  return free;
}

int64_t FreeMemory(c10::Device device) {
  return device.is_cpu() ? FreeHostMemory("/") : FreeDeviceMemory(device);
}

absl::Status CheckMemory(const std::string& what, const MemoryNeed& need,
                         int64_t free) {
  if (need.total() <= free) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrFormat(
      "%s needs %s of memory beside the weights (KV cache %s, statistics %s, "
      "work space %s); %s is free",
      what, Gibibytes(need.total()), Gibibytes(need.kv_cache),
      Gibibytes(need.statistics), Gibibytes(need.workspace + need.tables),
      Gibibytes(free)));
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
