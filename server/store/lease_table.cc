#include "server/store/lease_table.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

std::string NameOf(const std::string& run_id, int64_t attempt,
                   const std::string& sample_id) {
  return absl::StrCat(run_id, "/", attempt, "/", sample_id);
}

}  // namespace

void LeaseTable::Add(const std::string& sample_id,
                     std::shared_ptr<LeaseEntry> lease) {
  std::string name = NameOf(lease->run_id, lease->key.attempt, sample_id);
  std::lock_guard lock(mutex_);
  leases_[std::move(name)] = std::move(lease);
}

std::shared_ptr<LeaseEntry> LeaseTable::Find(const LeasedSample& sample) {
  const auto it =
      leases_.find(NameOf(sample.run_id, sample.attempt, sample.sample.id));
  return it == leases_.end() ? nullptr : it->second;
}

absl::StatusOr<std::shared_ptr<LeaseEntry>> LeaseTable::BeginAppend(
    const LeasedSample& sample, bool ends) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<LeaseEntry> lease = Find(sample);
  if (lease == nullptr && sample.cancelled != nullptr && *sample.cancelled) {
    return lease;
  }
  if (lease == nullptr || lease->over) {
    return absl::FailedPreconditionError(
        absl::StrCat("sample '", sample.sample.id, "' of run '", sample.run_id,
                     "' is not leased (attempt ", sample.attempt, ")"));
  }
  if (!lease->failed.ok()) return lease->failed;
  lease->over = ends;
  return lease;
}

std::shared_ptr<LeaseEntry> LeaseTable::BeginRelease(
    const LeasedSample& sample) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<LeaseEntry> lease = Find(sample);
  if (lease == nullptr || lease->over) return nullptr;
  lease->over = true;
  return lease;
}

void LeaseTable::Fail(LeaseEntry& lease, const absl::Status& status) {
  std::lock_guard lock(mutex_);
  if (lease.failed.ok()) lease.failed = status;
}

absl::Status LeaseTable::Failure(const LeaseEntry& lease) {
  std::lock_guard lock(mutex_);
  return lease.failed;
}

void LeaseTable::Remove(const LeaseEntry& lease) {
  std::lock_guard lock(mutex_);
  std::erase_if(leases_,
                [&](const auto& item) { return item.second.get() == &lease; });
}

void LeaseTable::CancelRun(const std::string& run_id) {
  std::lock_guard lock(mutex_);
  std::erase_if(leases_, [&](const auto& item) {
    if (item.second->run_id != run_id) return false;
    item.second->cancelled = true;
    return true;
  });
}

}  // namespace kvrecall
