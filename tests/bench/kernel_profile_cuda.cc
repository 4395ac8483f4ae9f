#include <filesystem>
#include <memory>
#include <set>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "tests/bench/kernel_profile.h"
#include "torch/csrc/autograd/profiler_kineto.h"

namespace kvrecall::bench {
namespace {

namespace profiler = torch::autograd::profiler;

const std::set<torch::profiler::impl::ActivityType>& Activities() {
  static const auto* const activities =
      new std::set<torch::profiler::impl::ActivityType>{
          torch::profiler::impl::ActivityType::CUDA};
  return *activities;
}

torch::profiler::impl::ProfilerConfig Config() {
  return torch::profiler::impl::ProfilerConfig(
      torch::profiler::impl::ProfilerState::KINETO);
}

}  // namespace

void BeginKernelProfile() {
  profiler::prepareProfiler(Config(), Activities());
  profiler::enableProfiler(Config(), Activities());
}

absl::Status EndKernelProfile(const std::string& path) {
  const std::unique_ptr<profiler::ProfilerResult> result =
      profiler::disableProfiler();
  result->save(path);
  std::error_code error;
  if (std::filesystem::exists(path, error)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write ", path));
}

}  // namespace kvrecall::bench
