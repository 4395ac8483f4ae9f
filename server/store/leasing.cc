#include "server/store/leasing.h"

#include "absl/time/clock.h"

#include "common/base/status_macros.h"
#include "common/longbench/sample_json.h"
#include "common/record/json.h"

namespace kvrecall {
namespace {

absl::Status ShuttingDown() {
  return absl::CancelledError("the store is shutting down");
}

}  // namespace

bool Leasing::IsStopped() {
  std::lock_guard lock(mutex_);
  return stopped_;
}

absl::StatusOr<LeasedSample> Leasing::Lease() {
  while (true) {
    if (IsStopped()) return ShuttingDown();
    auto pending = std::make_shared<Pending<TakeResult>>();
    PostTake(pending);
    const TakeResult taken = pending->Wait();
    if (!taken.ok()) return IsStopped() ? ShuttingDown() : taken.status();
    absl::StatusOr<LeasedSample> leased = MakeLease(*taken);
    if (leased.ok()) return leased;
    // Nobody can run it, and it must not stand in the way of the others.
    Event failure;
    failure.body = SampleFailure{"SAMPLE_UNREADABLE",
                                 std::string(leased.status().message())};
    RETURN_IF_ERROR(
        writer_->Append(AppendCommand(taken->lease, {std::move(failure)}), 1));
  }
}

absl::StatusOr<LeasedSample> Leasing::MakeLease(const Taken& taken) {
  LeasedSample leased;
  leased.run_id = taken.row.run_id;
  leased.attempt = taken.row.key.attempt;
  leased.submit_time = taken.row.submit_time;
  ASSIGN_OR_RETURN(leased.sample, ParseSample(taken.row.payload));
  ASSIGN_OR_RETURN(leased.config, ConfigFromJson(taken.row.config));
  taken.lease->config = std::make_shared<const RunConfig>(leased.config);
  // Where nobody can say what it began with, nobody can go on with it.
  RETURN_IF_ERROR(ProvenanceFromJson(taken.row.provenance).status());
  // Shares the entry's ownership.
  leased.cancelled = {taken.lease, &taken.lease->cancelled};
  return leased;
}

void Leasing::PostTake(PendingTake pending) {
  Command command = CommandFor<std::optional<TakenSample>>(
      [this](Changes& changes) -> absl::StatusOr<std::optional<TakenSample>> {
        if (IsStopped()) return ShuttingDown();
        return queue_.Take(absl::Now(), changes);
      },
      [this, pending](absl::StatusOr<std::optional<TakenSample>> taken) {
        if (taken.ok()) return OnTaken(pending, *std::move(taken));
        hooks_.failed(taken.status());
        Park(pending);
        WakeParkedLater();
      });
  command.patient = true;
  writer_->Post(std::move(command));
}

void Leasing::OnTaken(const PendingTake& pending,
                      std::optional<TakenSample> taken) {
  if (taken.has_value()) {
    auto lease = std::make_shared<LeaseEntry>();
    lease->key = taken->key;
    lease->run_id = taken->run_id;
    leases_.Add(taken->sample_id, lease);
    pending->Set(Taken{*std::move(taken), std::move(lease)});
    return;
  }
  Park(pending);
  // Something may have been queued in the same transaction, after the look.
  if (hooks_.has_waiting()) WakeParked();
}

void Leasing::Park(const PendingTake& pending) {
  std::lock_guard lock(mutex_);
  if (stopped_) {
    pending->Set(ShuttingDown());
  } else {
    parked_.push_back(pending);
  }
}

void Leasing::WakeParked() {
  std::vector<PendingTake> parked;
  {
    std::lock_guard lock(mutex_);
    parked.swap(parked_);
  }
  for (PendingTake& pending : parked) PostTake(std::move(pending));
}

void Leasing::WakeParkedLater() {
  Command command;
  command.execute = [](Changes&) { return absl::OkStatus(); };
  command.finish = [this](const absl::Status&) { WakeParked(); };
  command.patient = true;
  // False: the store is closing, which has woken who was parked.
  writer_->PostLater(std::move(command), retry_);
}

void Leasing::Stop() {
  std::vector<PendingTake> parked;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    parked.swap(parked_);
  }
  for (const PendingTake& pending : parked) pending->Set(ShuttingDown());
}

void Leasing::Release(const LeasedSample& sample) {
  std::shared_ptr<LeaseEntry> lease = leases_.BeginRelease(sample);
  if (lease == nullptr) return;
  if (leases_.Failure(*lease).ok()) {
    writer_->Post(ReleaseCommand(std::move(lease)));
  } else {
    // Not at once, so that a disk that still takes a little is not filled up
    // with the first events of one attempt after another.
    writer_->PostLater(ReleaseCommand(std::move(lease)), retry_);
  }
}

void Leasing::ReleaseAfterDeath(const LeasedSample& sample) {
  std::shared_ptr<LeaseEntry> lease = leases_.BeginRelease(sample);
  if (lease != nullptr)
    writer_->Post(ReleaseCommand(std::move(lease), /*after_death=*/true));
}

Command Leasing::ReleaseCommand(std::shared_ptr<LeaseEntry> lease,
                                bool after_death) {
  Command command;
  command.execute = [this, lease, after_death](Changes& changes) {
    // Its run may be deleted by now, and its key another sample's.
    if (lease->cancelled) return absl::OkStatus();
    if (after_death)
      return queue_.ReleaseAfterDeath(lease->key, absl::Now(), changes);
    return queue_.Release(lease->key, changes);
  };
  command.finish = [this, lease, after_death](const absl::Status& status) {
    if (!status.ok()) {
      hooks_.failed(status);
      // Kept until it succeeds, or the next server finds the sample.
      if (writer_->PostLater(ReleaseCommand(lease, after_death), retry_))
        return;
    }
    leases_.Remove(*lease);
  };
  command.patient = true;
  return command;
}

absl::Status Leasing::Append(const LeasedSample& sample,
                             std::vector<Event> events) {
  if (events.empty()) return absl::OkStatus();
  const absl::Status good = CheckEvents(events, Lanes(sample.config).size(),
                                        sample.config.gaps.size());
  if (!good.ok()) {
    hooks_.refused(events);
    return good;
  }
  ASSIGN_OR_RETURN(std::shared_ptr<LeaseEntry> lease,
                   leases_.BeginAppend(sample, EndsSample(events)));
  if (lease == nullptr) return absl::OkStatus();
  const auto count = static_cast<int64_t>(events.size());
  return writer_->Append(AppendCommand(std::move(lease), std::move(events)),
                         count);
}

Command Leasing::AppendCommand(std::shared_ptr<LeaseEntry> lease,
                               std::vector<Event> events) {
  const bool ends = EndsSample(events);
  Command command;
  command.execute = [this, lease,
                     events = std::make_shared<const std::vector<Event>>(
                         std::move(events))](Changes& changes) {
    if (lease->cancelled) return absl::OkStatus();  // as in ReleaseCommand
    // After one loss the attempt has a gap; nothing may follow it.
    RETURN_IF_ERROR(leases_.Failure(*lease));
    return log_.Append(lease->key, lease->config, events, absl::Now(), changes);
  };
  command.finish = [this, lease, ends](const absl::Status& status) {
    if (!status.ok()) {
      hooks_.failed(status);
      leases_.Fail(*lease, status);
      // The caller thinks the sample ended and will not release it.
      if (ends) writer_->PostLater(ReleaseCommand(lease), retry_);
    } else if (ends) {
      leases_.Remove(*lease);
    }
  };
  command.patient = true;
  return command;
}

}  // namespace kvrecall
