#include "server/engine/control_groups.h"

#include <algorithm>
#include <fstream>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include <sched.h>

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

using Visitor = std::function<void(const fs::path&, int version)>;

void VisitUpwards(const fs::path& mount, const fs::path& path, int version,
                  const Visitor& visit) {
  fs::path group = path.lexically_normal().relative_path();
  while (true) {
    visit(mount / group, version);
    if (group.empty()) return;
    group = group.parent_path();
  }
}

// Of one group: "150000 100000" or "max 100000" in version 2, a file each and
// -1 for none in version 1.
std::optional<double> QuotaOf(const fs::path& group, int version) {
  std::optional<int64_t> quota, period;
  if (version == 2) {
    std::ifstream in(group / "cpu.max");
    int64_t numbers[2];
    if (in >> numbers[0] >> numbers[1]) {
      quota = numbers[0];
      period = numbers[1];
    }
  } else {
    quota = ReadNumber(group / "cpu.cfs_quota_us");
    period = ReadNumber(group / "cpu.cfs_period_us");
  }
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

// Processors that this thread may run on; 0 where the system does not say.
int AllowedCpus() {
  // More than a fixed cpu_set_t has room for are possible.
  for (int cpus = CPU_SETSIZE; cpus <= (1 << 20); cpus *= 2) {
    cpu_set_t* const set = CPU_ALLOC(cpus);
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return count;
  }
  return 0;
}

}  // namespace

void VisitOwnGroups(const fs::path& root, const std::string& controller,
                    const Visitor& visit) {
  const fs::path mount = root / "sys/fs/cgroup";
  visit(mount, 2);
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    // "0::/path" in version 2, "4:cpu,cpuacct:/path" in version 1.
    const std::vector<std::string> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) VisitUpwards(mount, parts[2], 2, visit);
    for (const absl::string_view name : absl::StrSplit(parts[1], ','))
      if (name == controller)
        VisitUpwards(mount / controller, parts[2], 1, visit);
  }
}

std::optional<int64_t> ReadNumber(const fs::path& path) {
  std::ifstream in(path);
  int64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

std::optional<double> CpuQuota(const fs::path& root) {
  std::optional<double> least;
  VisitOwnGroups(root, "cpu", [&](const fs::path& group, int version) {
    const std::optional<double> quota = QuotaOf(group, version);
    if (quota) least = std::min(least.value_or(*quota), *quota);
  });
  return least;
}

int UsableCpus(const fs::path& root, int allowed) {
  const std::optional<double> quota = CpuQuota(root);
  // As a double first: a quota may be larger than any int.
  const double cpus = quota ? std::min<double>(allowed, *quota) : allowed;
  return std::max(static_cast<int>(cpus), 1);
}

int UsableCpus() {
  int allowed = AllowedCpus();
  if (allowed == 0)
    allowed = static_cast<int>(std::thread::hardware_concurrency());
  return UsableCpus("/", allowed);
}

}  // namespace kvrecall
