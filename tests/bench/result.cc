#include "tests/bench/result.h"

#include <cstdio>

#include "tests/bench/timing.h"

namespace kvrecall::bench {
namespace {

constexpr double kMiB = 1 << 20;

double ProductSeconds(const Result& r) {
  double seconds = 0;
  for (const ProductRate& p : r.products) seconds += p.operations / p.rate;
  return seconds;
}

double RooflineShare(const Result& r) {
  if (r.step_plain.empty()) return 0;
  return r.step_bytes / Median(r.bandwidth) / Median(r.step_plain);
}

void PrintPrefill(const char* name, const std::vector<double>& seconds,
                  const Result& r) {
  if (seconds.empty()) return;
  std::printf("  prefill %-9s  %9.3f s  %9.0f tokens/s\n", name,
              Median(seconds), static_cast<double>(r.prompt) / Median(seconds));
}

void PrintProducts(const Result& r) {
  std::printf("  its products alone %9.3f s", ProductSeconds(r));
  if (!r.prefill_plain.empty())
    std::printf("  %8.0f %% of the plain prefill",
                100 * ProductSeconds(r) / Median(r.prefill_plain));
  std::printf("\n");
  for (const ProductRate& p : r.products)
    std::printf("    %-18s %7.1f G operations at %6.0f G/s: %.3f s\n", p.name,
                p.operations / 1e9, p.rate / 1e9, p.operations / p.rate);
}

void PrintSteps(const char* name, const std::vector<double>& seconds) {
  if (seconds.empty()) return;
  std::printf("  decode %-9s   %9.2f ms/token\n", name, 1e3 * Median(seconds));
}

// Of telemetry over plain, where both were measured.
void PrintRatio(const char* name, const std::vector<double>& telemetry,
                const std::vector<double>& plain) {
  if (telemetry.empty() || plain.empty()) return;
  std::printf("  %s, telemetry / plain: %.3f\n", name,
              MedianRatio(telemetry, plain));
}

}  // namespace

nlohmann::json ToJson(const Result& r) {
  nlohmann::json products = nlohmann::json::array();
  for (const ProductRate& p : r.products)
    products.push_back({{"name", p.name},
                        {"operations", p.operations},
                        {"operations_per_second", p.rate}});
  return {
      {"prompt", r.prompt},
      {"prefill_seconds",
       {{"plain", r.prefill_plain}, {"telemetry", r.prefill_telemetry}}},
      {"step_seconds",
       {{"plain", r.step_plain}, {"telemetry", r.step_telemetry}}},
      {"ratios",
       {{"prefill_telemetry",
         MedianRatio(r.prefill_telemetry, r.prefill_plain)},
        {"decode_telemetry", MedianRatio(r.step_telemetry, r.step_plain)},
        {"products_of_prefill", ProductSeconds(r) / Median(r.prefill_plain)},
        {"decode_of_bandwidth", RooflineShare(r)}}},
      {"read_bytes_per_second", r.bandwidth},
      {"step_bytes", r.step_bytes},
      {"products", products},
      {"memory_bytes",
       {{"loaded", r.loaded_memory},
        {"before", r.base_memory},
        {"peak", r.peak_memory},
        {"kv_cache", r.kv_bytes}}}};
}

void Print(const Result& r) {
  std::printf("\nprompt of %lld tokens\n", static_cast<long long>(r.prompt));
  PrintPrefill("plain", r.prefill_plain, r);
  PrintPrefill("telemetry", r.prefill_telemetry, r);
  PrintRatio("prefill", r.prefill_telemetry, r.prefill_plain);
  PrintProducts(r);
  PrintSteps("plain", r.step_plain);
  PrintSteps("telemetry", r.step_telemetry);
  PrintRatio("decode", r.step_telemetry, r.step_plain);
  if (!r.step_plain.empty())
    std::printf(
        "  read bandwidth     %9.1f GB/s; plain decode reaches %.0f %%\n",
        Median(r.bandwidth) / 1e9, 100 * RooflineShare(r));
  std::printf("  peak memory        %9.0f MiB (%.0f before, KV cache %.0f)\n",
              static_cast<double>(r.peak_memory) / kMiB,
              static_cast<double>(r.base_memory) / kMiB,
              static_cast<double>(r.kv_bytes) / kMiB);
  std::fflush(stdout);
}

}  // namespace kvrecall::bench
