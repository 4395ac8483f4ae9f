#include "server/store/sqlite_store.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "spdlog/spdlog.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/longbench/sample_json.h"
#include "common/records_db/backup_file.h"
#include "server/store/calls.h"
#include "server/store/checkpoints.h"
#include "server/store/deadlines.h"
#include "server/store/deleter.h"
#include "server/store/event_log.h"
#include "server/store/group_commit.h"
#include "server/store/held_runs.h"
#include "server/store/leasing.h"
#include "server/store/listeners.h"
#include "server/store/pace.h"
#include "server/store/process_lock.h"
#include "server/store/reader_pool.h"
#include "server/store/recent_events.h"
#include "server/store/room.h"
#include "server/store/run_exports.h"
#include "server/store/run_queue.h"
#include "server/store/run_rows.h"
#include "server/store/sample_queue.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kLogEvery = absl::Minutes(1);
constexpr absl::Duration kBackupLogEvery = absl::Seconds(10);
constexpr int64_t kRecentEvents = 1000;  // some KiB each

class SqliteStore : public Store {
 public:
  SqliteStore(const std::string& path, const SqliteStoreOptions& options,
              std::unique_ptr<ProcessLock> lock,
              std::unique_ptr<Database> database)
      : options_(options),
        path_(path),
        lock_(std::move(lock)),
        database_(std::move(database)),
        log_(database_.get()),
        runs_(database_.get()),
        samples_(database_.get(), &log_),
        queue_(database_.get(), &log_, &runs_, &samples_, &held_,
               options.limits),
        leasing_(&samples_, &log_, options.retry_interval,
                 {[this] { return size_.waiting > 0; },
                  [this](const absl::Status& status) { OnWriteFailed(status); },
                  [this](const std::vector<Event>& events) {
                    if (options_.observer != nullptr)
                      options_.observer->OnRefused(events);
                  }}),
        deadlines_(
            &runs_, &queue_, {options.retry_interval},
            {[this](const std::string& run) { leasing_.CancelRun(run); },
             [this](const absl::Status& status) { OnWriteFailed(status); }}),
        deleter_(database_.get(),
                 {options.commit_interval, options.retry_interval, options.keep,
                  options.retention_interval},
                 [this](const absl::Status& status) { OnWriteFailed(status); }),
        checkpoints_(database_.get(), options.commit_interval),
        readers_(path),
        exports_(path) {}
  ~SqliteStore() override { Close().IgnoreError(); }

  // Once, before anything else.
  absl::Status Start();

  void CreateRun(
      NewRun run,
      absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) override;
  void SubmitSamples(
      std::string run_id, std::vector<Sample> samples, bool complete,
      absl::AnyInvocable<void(absl::StatusOr<SubmitReply>)> done) override;
  void CancelRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) override;
  void DeleteRun(
      std::string run_id,
      absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done) override;
  void Checkpoint(
      absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done) override;
  absl::StatusOr<int64_t> Backup(const std::string& path,
                                 const std::function<bool()>& stop) override;
  absl::StatusOr<StoreStatus> GetStatus() override;
  absl::StatusOr<RunInfo> GetRun(std::string_view run_id) override;
  absl::StatusOr<int64_t> SamplesAhead(std::string_view run_id) override;
  absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>> ListRuns(
      int page_size, std::string_view page_token) override;
  absl::StatusOr<std::vector<Event>> ReadAfter(std::string_view run_id,
                                               int64_t after,
                                               int limit) override;
  absl::StatusOr<std::unique_ptr<std::istream>> ExportRun(
      std::string_view run_id, const std::function<bool()>& stop) override;
  std::shared_ptr<void> Subscribe(std::string run_id,
                                  std::function<void()> listener) override;
  absl::Status HoldRuns(
      const std::function<std::string(const RunInfo&)>& why_not) override;
  absl::StatusOr<LeasedSample> Lease() override;
  void Release(const LeasedSample& sample) override;
  void ReleaseAfterDeath(const LeasedSample& sample) override;
  absl::Status Append(const LeasedSample& sample,
                      std::vector<Event> events) override;
  void StopLeasing() override;
  absl::Status Close() override;

 private:
  // On the writer thread.
  // DISK_LOW or DATABASE_FULL where no new work can be taken on.
  absl::Status CheckRoomForWork();
  void OnCommitted(const GroupCommit::Report& report);
  // Of a write that nobody waits for: the operator is told.
  void OnWriteFailed(const absl::Status& status);
  void TellQueue();

  const SqliteStoreOptions options_;
  const std::string path_;
  const std::unique_ptr<ProcessLock> lock_;  // goes last

  // Of the writer thread, once it runs.
  std::unique_ptr<Database> database_;
  EventLog log_;
  HeldRuns held_;
  RunRows runs_;
  SampleQueue samples_;
  RunQueue queue_;
  QueueSize size_;
  std::atomic<int64_t> samples_held_ = 0;  // of size_, for everybody
  Pace pace_;
  bool writes_fail_ = false;  // and the log says so
  absl::Time failure_logged_ = absl::InfinitePast();

  Leasing leasing_;
  Deadlines deadlines_;
  Deleter deleter_;
  Checkpoints checkpoints_;
  ReaderPool readers_;
  RunExports exports_;
  Listeners listeners_;
  RecentEvents recent_{kRecentEvents};

  std::mutex close_mutex_;
  std::optional<absl::Status> closed_;  // what Close returned

  std::unique_ptr<GroupCommit> writer_;
};

absl::Status SqliteStore::Start() {
  exports_.RemoveLeftovers();
  RETURN_IF_ERROR(
      InTransaction(*database_, TransactionKind::kWrite, [&]() -> absl::Status {
        RETURN_IF_ERROR(samples_.Recover(absl::Now()));
        return deadlines_.Recover();
      }));
  RETURN_IF_ERROR(deleter_.Recover());
  ASSIGN_OR_RETURN(size_, samples_.Size());
  if (options_.observer != nullptr) {
    options_.observer->OnOpened(samples_.earlier_servers());
    database_->OnFault([observer = options_.observer](DatabaseFault fault) {
      observer->OnDatabaseFault(fault);
    });
  }
  TellQueue();
  writer_ = std::make_unique<GroupCommit>(
      database_.get(),
      GroupCommit::Options{options_.commit_interval, options_.batch_events,
                           options_.buffer_events},
      [this](const GroupCommit::Report& report) { OnCommitted(report); });
  leasing_.Start(writer_.get());
  deadlines_.Start(writer_.get());
  deleter_.Start(writer_.get());
  checkpoints_.Start(writer_.get());
  return absl::OkStatus();
}

void SqliteStore::OnCommitted(const GroupCommit::Report& report) {
  const Changes& changes = report.changes;
  // What changes nothing is no proof.
  if (writes_fail_ &&
      (changes.events > 0 || changes.waiting != 0 || changes.running != 0)) {
    writes_fail_ = false;
    spdlog::warn("{}: can be written again", database_->path());
  }
  if (changes.waiting != 0 || changes.running != 0 || changes.held != 0) {
    pace_.Ended(changes.ended.done_or_failed(), absl::Now());
    size_.waiting += changes.waiting;
    size_.running += changes.running;
    size_.waiting_tokens += changes.waiting_tokens;
    size_.held += changes.held;
    samples_held_ = size_.held;
    if (size_.waiting + size_.running == 0) pace_.Pause();
    TellQueue();
  }
  if (changes.events > 0 && options_.observer != nullptr) {
    options_.observer->OnCommit(
        {changes.events, absl::FromChrono(report.commit_time),
         absl::FromChrono(report.lag), changes.ended, changes.appended});
  }
  recent_.Publish(changes, [this](const std::string& run_id) {
    return listeners_.Has(run_id);
  });
  std::vector<std::string> runs = changes.runs;
  std::sort(runs.begin(), runs.end());
  runs.erase(std::unique(runs.begin(), runs.end()), runs.end());
  for (const std::string& run : runs) listeners_.Notify(run);
  if (size_.waiting > 0) leasing_.WakeParked();
}

void SqliteStore::OnWriteFailed(const absl::Status& status) {
  if (absl::IsCancelled(status) || absl::IsUnavailable(status)) return;
  // A disk that takes some writes and refuses others must not fill the log.
  const absl::Time now = absl::Now();
  if (writes_fail_ || now - failure_logged_ < kLogEvery) return;
  writes_fail_ = true;
  failure_logged_ = now;
  spdlog::error("{}; what runs waits in the queue and is tried again",
                std::string(status.message()));
}

void SqliteStore::TellQueue() {
  if (options_.observer == nullptr) return;
  options_.observer->OnQueue(size_);
}

absl::Status SqliteStore::CheckRoomForWork() {
  RETURN_IF_ERROR(CheckDiskRoom(path_, options_.min_free_bytes));
  return CheckQuota(*database_, options_.max_used_bytes);
}

void SqliteStore::CreateRun(
    NewRun run, absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) {
  writer_->Post(CommandFor<RunInfo>(
      [this, run = std::move(run)](Changes&) -> absl::StatusOr<RunInfo> {
        RETURN_IF_ERROR(CheckRoomForWork());
        return runs_.Create(run, absl::Now());
      },
      [this, done = std::move(done)](absl::StatusOr<RunInfo> made) mutable {
        if (made.ok() && made->deadline && !made->end_time)
          deadlines_.Add(made->run_id, *made->deadline);
        if (made.ok()) held_.Note(*made);  // by an earlier request
        done(std::move(made));
      }));
}

void SqliteStore::SubmitSamples(
    std::string run_id, std::vector<Sample> samples, bool complete,
    absl::AnyInvocable<void(absl::StatusOr<SubmitReply>)> done) {
  // Written out here, not on the writer thread, which everybody shares.
  std::vector<NewSample> rows;
  absl::Status bad;
  for (const Sample& sample : samples) {
    absl::StatusOr<std::string> payload = SampleToJson(sample);
    bad.Update(payload.status());
    if (payload.ok()) {
      std::string digest = Sha256Hex(*payload);
      rows.push_back(
          {sample.id, *std::move(payload), std::move(digest), sample.ordinal});
    }
  }
  if (!bad.ok()) return done(std::move(bad));
  writer_->Post(CommandFor<SubmitReply>(
      [this, run_id = std::move(run_id), rows = std::move(rows),
       complete](Changes& changes) -> absl::StatusOr<SubmitReply> {
        // A call without samples says only that no more follow.
        if (!rows.empty()) RETURN_IF_ERROR(CheckRoomForWork());
        SubmitReply reply;
        ASSIGN_OR_RETURN(reply.outcomes, queue_.Submit(run_id, rows, complete,
                                                       absl::Now(), changes));
        reply.retry_after = pace_.TimeForOne();
        return reply;
      },
      std::move(done)));
}

void SqliteStore::CancelRun(
    std::string run_id,
    absl::AnyInvocable<void(absl::StatusOr<RunInfo>)> done) {
  writer_->Post(CommandFor<RunInfo>(
      [this, run_id](Changes& changes) {
        return queue_.Cancel(run_id, absl::Now(), changes);
      },
      [this, run_id,
       done = std::move(done)](absl::StatusOr<RunInfo> run) mutable {
        if (run.ok()) leasing_.CancelRun(run_id);
        done(std::move(run));
      }));
}

void SqliteStore::DeleteRun(
    std::string run_id,
    absl::AnyInvocable<void(absl::StatusOr<DeletedRun>)> done) {
  deleter_.Delete(run_id, [this, run_id, done = std::move(done)](
                              absl::StatusOr<DeletedRun> run) mutable {
    if (run.ok()) recent_.Forget(run_id);
    done(std::move(run));
  });
}

void SqliteStore::Checkpoint(
    absl::AnyInvocable<void(absl::StatusOr<CheckpointReply>)> done) {
  checkpoints_.Begin(std::move(done));
}

absl::StatusOr<int64_t> SqliteStore::Backup(const std::string& path,
                                            const std::function<bool()>& stop) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  RETURN_IF_ERROR(
      CheckDiskRoom(folder, options_.min_free_bytes, FileBytes(path_)));
  const absl::Time start = absl::Now();
  absl::Time told = start;
  BackupHooks hooks;
  hooks.stop = stop;
  hooks.progress = [&](int64_t done, int64_t total) {
    if (absl::Now() - told < kBackupLogEvery) return;
    told = absl::Now();
    spdlog::info("backup {}: {} of {} MiB", path, done >> 20, total >> 20);
  };
  spdlog::info("backup {}: begins", path);
  const absl::StatusOr<int64_t> bytes = WriteBackup(path_, path, hooks);
  if (bytes.ok()) {
    spdlog::info("backup {}: {} MiB, checked, in {}", path, *bytes >> 20,
                 absl::FormatDuration(
                     absl::Trunc(absl::Now() - start, absl::Milliseconds(1))));
  } else {
    spdlog::warn("backup {}: {}", path, std::string(bytes.status().message()));
  }
  return bytes;
}

absl::StatusOr<StoreStatus> SqliteStore::GetStatus() {
  ASSIGN_OR_RETURN(
      const DatabaseOverview overview,
      readers_.With([](RecordsReader& reader) { return reader.Overview(); }));
  StoreStatus status;
  status.runs = overview.runs;
  status.oldest_run = overview.oldest_run;
  status.runs_being_deleted = deleter_.pending();
  status.samples_held = samples_held_;
  status.samples_waiting =
      std::max<int64_t>(0, overview.samples_waiting - status.samples_held);
  status.samples_running = overview.samples_running;
  status.database_bytes = overview.bytes;
  status.used_bytes = overview.bytes - overview.free_bytes;
  status.log_bytes = checkpoints_.LogBytes();
  status.free_disk_bytes = FreeDiskBytes(path_);
  status.min_free_bytes = options_.min_free_bytes;
  status.max_used_bytes = options_.max_used_bytes;
  status.max_open_samples = options_.limits.samples;
  status.keep = options_.keep;
  return status;
}

absl::StatusOr<RunInfo> SqliteStore::GetRun(std::string_view run_id) {
  ASSIGN_OR_RETURN(RunInfo run, readers_.With([&](RecordsReader& reader) {
    return reader.GetRun(run_id);
  }));
  held_.Note(run);
  return run;
}

absl::StatusOr<int64_t> SqliteStore::SamplesAhead(std::string_view run_id) {
  return readers_.With([&](RecordsReader& reader) {
    return reader.SamplesAhead(run_id, held_.ids());
  });
}

absl::StatusOr<std::pair<std::vector<RunInfo>, std::string>>
SqliteStore::ListRuns(int page_size, std::string_view page_token) {
  ASSIGN_OR_RETURN(auto page, readers_.With([&](RecordsReader& reader) {
    return reader.ListRuns(page_size, page_token);
  }));
  for (RunInfo& run : page.first) held_.Note(run);
  return page;
}

absl::StatusOr<std::vector<Event>> SqliteStore::ReadAfter(
    std::string_view run_id, int64_t after, int limit) {
  if (auto recent = recent_.ReadAfter(run_id, after, limit))
    return *std::move(recent);
  return readers_.With([&](RecordsReader& reader) {
    return reader.ReadAfter(run_id, after, limit);
  });
}

absl::StatusOr<std::unique_ptr<std::istream>> SqliteStore::ExportRun(
    std::string_view run_id, const std::function<bool()>& stop) {
  // A run is at most as large as all of them.
  RETURN_IF_ERROR(
      CheckDiskRoom(path_, options_.min_free_bytes, FileBytes(path_)));
  return exports_.Make(run_id, stop);
}

std::shared_ptr<void> SqliteStore::Subscribe(std::string run_id,
                                             std::function<void()> listener) {
  return listeners_.Add(std::move(run_id), std::move(listener));
}

absl::Status SqliteStore::HoldRuns(
    const std::function<std::string(const RunInfo&)>& why_not) {
  auto held = std::make_shared<HeldRuns::Reasons>();
  Pending<absl::StatusOr<QueueSize>> done;
  Command command = CommandFor<QueueSize>(
      [this, why_not, held](Changes&) -> absl::StatusOr<QueueSize> {
        held->clear();
        ASSIGN_OR_RETURN(const std::vector<RunInfo> open, runs_.Open());
        for (const RunInfo& run : open)
          if (std::string why = why_not(run); !why.empty())
            held->emplace(run.run_id, std::move(why));
        return samples_.Hold(*held);
      },
      [this, held, &done](absl::StatusOr<QueueSize> size) {
        if (size.ok()) {
          held_.Set(*held);
          size_ = *size;
          samples_held_ = size_.held;
          TellQueue();
        }
        done.Set(std::move(size));
      });
  command.patient = true;  // while another process has the database locked
  writer_->Post(std::move(command));
  const absl::StatusOr<QueueSize> size = done.Wait();
  RETURN_IF_ERROR(size.status());
  if (!held->empty())
    spdlog::warn(
        "open runs that are held: {}, samples that wait for it: {}; the first "
        "is {}: {}",
        held->size(), size->held, held->begin()->first, held->begin()->second);
  return absl::OkStatus();
}

absl::StatusOr<LeasedSample> SqliteStore::Lease() { return leasing_.Lease(); }

void SqliteStore::Release(const LeasedSample& sample) {
  leasing_.Release(sample);
}

void SqliteStore::ReleaseAfterDeath(const LeasedSample& sample) {
  leasing_.ReleaseAfterDeath(sample);
}

absl::Status SqliteStore::Append(const LeasedSample& sample,
                                 std::vector<Event> events) {
  return leasing_.Append(sample, std::move(events));
}

void SqliteStore::StopLeasing() { leasing_.Stop(); }

absl::Status SqliteStore::Close() {
  StopLeasing();
  std::lock_guard lock(close_mutex_);
  if (closed_.has_value()) return *closed_;
  if (writer_ != nullptr) writer_->Close();
  // Alone with the file, SQLite removes the log when the last one leaves.
  readers_.CloseIdle();
  closed_ = database_->TruncateLog();
  database_.reset();
  return *closed_;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(
    const std::string& path, const SqliteStoreOptions& options) {
  RETURN_IF_ERROR(CheckDatabasePath(path));
  ASSIGN_OR_RETURN(std::unique_ptr<ProcessLock> lock, ProcessLock::Take(path));
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database,
                   OpenForWriting(path, options.writer));
  auto store = std::make_unique<SqliteStore>(path, options, std::move(lock),
                                             std::move(database));
  RETURN_IF_ERROR(store->Start());
  return store;
}

}  // namespace kvrecall
