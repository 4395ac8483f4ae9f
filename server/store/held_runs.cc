#include "server/store/held_runs.h"

#include <utility>

namespace kvrecall {

void HeldRuns::Set(Reasons reasons) {
  const std::lock_guard lock(mutex_);
  reasons_ = std::move(reasons);
}

bool HeldRuns::empty() const {
  const std::lock_guard lock(mutex_);
  return reasons_.empty();
}

std::vector<std::string> HeldRuns::ids() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (const auto& [run_id, why] : reasons_) ids.push_back(run_id);
  return ids;
}

std::string HeldRuns::Why(std::string_view run_id) const {
  const std::lock_guard lock(mutex_);
  const auto reason = reasons_.find(run_id);
  return reason == reasons_.end() ? "" : reason->second;
}

absl::Status HeldRuns::Check(std::string_view run_id) const {
  const std::string why = Why(run_id);
  return why.empty() ? absl::OkStatus() : RunIsHeld(run_id, why);
}

void HeldRuns::Note(RunInfo& run) const {
  if (!IsTerminal(run.state)) run.held = Why(run.run_id);
}

}  // namespace kvrecall
