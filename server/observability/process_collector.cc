#include "server/observability/process_collector.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

namespace kvrecall {
namespace {

// Fields of /proc/self/stat that are wanted; see proc(5) for their numbers.
struct ProcessStat {
  uint64_t user_ticks = 0;      // 14
  uint64_t system_ticks = 0;    // 15
  uint64_t start_ticks = 0;     // 22, since boot
  uint64_t virtual_bytes = 0;   // 23
  uint64_t resident_pages = 0;  // 24
};

std::optional<ProcessStat> ReadStat() {
  std::ifstream file("/proc/self/stat");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  // The name, field 2, may hold anything; it ends at the last ')'.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream rest(text.substr(name_end + 1));
  ProcessStat stat;
  std::string field;
  for (int number = 3; number <= 24 && rest >> field; ++number) {
    if (number == 14) stat.user_ticks = std::stoull(field);
    if (number == 15) stat.system_ticks = std::stoull(field);
    if (number == 22) stat.start_ticks = std::stoull(field);
    if (number == 23) stat.virtual_bytes = std::stoull(field);
    if (number == 24) stat.resident_pages = std::stoull(field);
  }
  return rest ? std::make_optional(stat) : std::nullopt;
}

// Seconds since the epoch at which the machine was started.
std::optional<uint64_t> BootTime() {
  std::ifstream file("/proc/stat");
  for (std::string key; file >> key;) {
    uint64_t value = 0;
    if (key == "btime" && file >> value) return value;
    file.ignore(1 << 20, '\n');
  }
  return std::nullopt;
}

std::optional<int64_t> OpenFiles() {
  std::error_code error;
  std::filesystem::directory_iterator it("/proc/self/fd", error);
  if (error) return std::nullopt;
  // One of them is the directory that is being read.
  return std::distance(it, {}) - 1;
}

prometheus::MetricFamily Family(const char* name, const char* help,
                                prometheus::MetricType type, double value) {
  prometheus::ClientMetric metric;
  if (type == prometheus::MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return {name, help, type, {std::move(metric)}};
}

}  // namespace

std::vector<prometheus::MetricFamily> ProcessCollector::Collect() const {
  using prometheus::MetricType;
  std::vector<prometheus::MetricFamily> families;
  const auto gauge = [&](const char* name, const char* help, double value) {
    families.push_back(Family(name, help, MetricType::Gauge, value));
  };
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  if (const auto stat = ReadStat()) {
    families.push_back(Family(
        "process_cpu_seconds_total", "User and system CPU time.",
        MetricType::Counter,
        static_cast<double>(stat->user_ticks + stat->system_ticks) / ticks));
    gauge("process_resident_memory_bytes", "Resident memory.",
          static_cast<double>(stat->resident_pages) *
              static_cast<double>(sysconf(_SC_PAGESIZE)));
    gauge("process_virtual_memory_bytes", "Virtual memory.",
          static_cast<double>(stat->virtual_bytes));
    if (const auto boot = BootTime())
      gauge("process_start_time_seconds", "Start, since the Unix epoch.",
            static_cast<double>(*boot) +
                static_cast<double>(stat->start_ticks) / ticks);
  }
  if (const auto files = OpenFiles())
    gauge("process_open_fds", "Open file descriptors.",
          static_cast<double>(*files));
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
    gauge("process_max_fds", "Limit of open file descriptors.",
          static_cast<double>(limit.rlim_cur));
  return families;
}

}  // namespace kvrecall
