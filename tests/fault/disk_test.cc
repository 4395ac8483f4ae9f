// The store on a disk that fails at its Nth operation, for every N: what a
// client and a runner that do as they are told get to see, and what is there
// when the disk is well again.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "spdlog/spdlog.h"
#include <gtest/gtest.h>

#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "server/store/sqlite_store.h"
#include "tests/common/records_db/temp_dir.h"
#include "tests/fault/faulty_disk.h"
#include "tests/server/store/store_testing.h"

namespace kvrecall {
namespace {

// From the moment that there is space again.
constexpr absl::Duration kRecovery = absl::Seconds(5);
// A test that waits longer has failed.
constexpr absl::Duration kPatience = absl::Seconds(20);

// What a sample's events are, at every attempt.
const std::vector<Event>& EventsOf(const std::string& sample) {
  static std::map<std::string, std::vector<Event>>& made =
      *new std::map<std::string, std::vector<Event>>();
  std::vector<Event>& events = made[sample];
  if (events.empty()) {
    EventMaker make(static_cast<uint32_t>(sample.front()));
    events = {make.Start(), make.Step(1), make.Step(2), make.Step(3),
              make.Result()};
  }
  return events;
}

SqliteStoreOptions FastOptions() {
  SqliteStoreOptions options;
  // Appends are committed with the call behind them, so that every run of the
  // scenario gives the disk the same operations.
  options.commit_interval = absl::Hours(1);
  options.retry_interval = absl::Milliseconds(1);
  options.writer.checkpoint_pages = 20;
  return options;
}

// One life of a store: runs are made, sent samples, run, cancelled, exported,
// the store is closed and opened again. Calls that fail are repeated, as
// clients and runners do, and a disk that fails for long is mended once it has
// been looked at.
class Scenario {
 public:
  Scenario(FaultyDisk* disk, std::string name)
      : disk_(*disk), path_(dir_.File("runs.db")), name_(std::move(name)) {}

  void Run();

  absl::Duration longest_recovery() const { return longest_recovery_; }

 private:
  void Open();
  void Close();
  std::string Create(const std::string& request);
  void Submit(const std::string& run, const std::vector<std::string>& samples,
              bool complete);
  void Cancel(const std::string& run);
  LeasedSample Lease();
  // Of a sample that is leased for it: its first `count` events.
  LeasedSample Attempt(size_t count);
  void Export(const std::string& run);
  RunInfo Info(const std::string& run);

  // Calls `attempt` until it returns OK.
  template <typename Function>
  void UntilOk(Function attempt);
  absl::Status TryCreate(const std::string& request,
                         std::string* run = nullptr);
  // All that was handed over before is committed, or has failed.
  absl::Status Flush() { return TryCreate("one"); }

  // The disk has been failing: what holds meanwhile, and how long it takes to
  // hold again.
  void LiveThroughFailure();
  // What was acknowledged, or was read, is there; events stand in order, and of
  // each attempt the first ones.
  void CheckTold(Store& store);
  // From now on, what can be read counts as told.
  void Look();
  // The same of a database that a new process opens.
  void CheckFile(const std::string& path);
  // What a process that died now would leave behind.
  std::string Copy();
  void CheckEnd(const std::string& run);

  FaultyDisk& disk_;
  const TempDir dir_;
  const std::string path_;
  const std::string name_;
  std::unique_ptr<Store> store_;
  int copies_ = 0;
  absl::Duration longest_recovery_ = absl::ZeroDuration();

  // What the store has said.
  std::map<std::string, std::string> runs_;           // by request
  std::map<std::string, int64_t> submitted_;          // samples, by run
  std::map<std::string, std::vector<Event>> events_;  // by run
};

template <typename Function>
void Scenario::UntilOk(Function attempt) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (true) {
    const absl::Status status = attempt();
    if (status.ok()) return;
    ASSERT_LT(absl::Now(), deadline) << status;
    ASSERT_GT(disk_.faults(), 0) << status;
    if (disk_.failing()) LiveThroughFailure();
  }
}

void Scenario::Open() {
  UntilOk([&]() -> absl::Status {
    auto store = OpenSqliteStore(path_, FastOptions());
    if (store.ok()) store_ = *std::move(store);
    return store.status();
  });
}

void Scenario::Close() {
  // What it says is for the log; the next store shows what it did.
  store_->Close().IgnoreError();
  store_.reset();
  if (disk_.failing()) LiveThroughFailure();
}

absl::Status Scenario::TryCreate(const std::string& request, std::string* run) {
  auto made = Await<absl::StatusOr<RunInfo>>(
      [&](auto done) { store_->CreateRun(TestRun(request), std::move(done)); });
  if (!made.ok()) return std::move(made).status();
  if (run != nullptr) *run = made->run_id;
  return absl::OkStatus();
}

std::string Scenario::Create(const std::string& request) {
  std::string run;
  UntilOk([&] { return TryCreate(request, &run); });
  runs_[request] = run;
  return run;
}

void Scenario::Submit(const std::string& run,
                      const std::vector<std::string>& samples, bool complete) {
  UntilOk([&]() -> absl::Status {
    auto reply = Await<absl::StatusOr<SubmitReply>>([&](auto done) {
      std::vector<Sample> sent;
      for (const std::string& id : samples) {
        sent.push_back(TestSample(id));
        sent.back().context = std::string(9000, 'x');  // of several pages
      }
      store_->SubmitSamples(run, std::move(sent), complete, std::move(done));
    });
    if (!reply.ok()) return std::move(reply).status();
    submitted_[run] += static_cast<int64_t>(samples.size());
    return absl::OkStatus();
  });
}

void Scenario::Cancel(const std::string& run) {
  UntilOk([&]() -> absl::Status {
    auto cancelled = Await<absl::StatusOr<RunInfo>>(
        [&](auto done) { store_->CancelRun(run, std::move(done)); });
    return std::move(cancelled).status();
  });
}

LeasedSample Scenario::Lease() {
  auto leasing =
      std::async(std::launch::async, [&] { return store_->Lease(); });
  const absl::Time deadline = absl::Now() + kPatience;
  while (leasing.wait_for(std::chrono::milliseconds(1)) !=
         std::future_status::ready) {
    if (disk_.failing()) LiveThroughFailure();
    if (absl::Now() > deadline) {
      ADD_FAILURE() << "no sample is leased any more";
      store_->StopLeasing();
    }
  }
  auto leased = leasing.get();
  EXPECT_TRUE(leased.ok()) << leased.status();
  return leased.value_or(LeasedSample());
}

LeasedSample Scenario::Attempt(size_t count) {
  LeasedSample leased = Lease();
  if (leased.run_id.empty()) return leased;
  const std::vector<Event>& events = EventsOf(leased.sample.id);
  for (size_t i = 0; i < count; ++i) {
    if (!store_->Append(leased, {events[i]}).ok()) {
      store_->Release(leased);
      break;
    }
    // Mended in the midst of it, too: what follows a lost event must not be
    // kept.
    Flush().IgnoreError();
    if (disk_.failing()) LiveThroughFailure();
  }
  Look();
  return leased;
}

void Scenario::Export(const std::string& run) {
  const std::string path = dir_.File("exported");
  UntilOk([&]() -> absl::Status {
    const auto stream = store_->ExportRun(run, {});
    if (!stream.ok()) return stream.status();
    std::ofstream(path, std::ios::binary) << (*stream)->rdbuf();
    return absl::OkStatus();
  });
  const auto reader = RecordsReader::Open(path);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto events = (*reader)->ReadAfter(run, 0, 1'000'000);
  ASSERT_TRUE(events.ok()) << events.status();
  EXPECT_EQ(*events, events_[run]);
}

RunInfo Scenario::Info(const std::string& run) {
  auto info = store_->GetRun(run);
  EXPECT_TRUE(info.ok()) << info.status();
  return info.value_or(RunInfo());
}

void Scenario::CheckTold(Store& store) {
  for (const auto& [request, run] : runs_) {
    const auto info = store.GetRun(run);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_EQ(info->config, TestConfig());
    EXPECT_GE(info->samples_submitted, submitted_[run]);
    const auto events = store.ReadAfter(run, 0, 1'000'000);
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_EQ(info->last_sequence, std::ssize(*events));
    const std::vector<Event>& told = events_[run];
    ASSERT_GE(events->size(), told.size()) << "what was read is lost";
    EXPECT_TRUE(std::equal(told.begin(), told.end(), events->begin()));
    int64_t sequence = 0;
    std::map<std::pair<std::string, int64_t>, size_t> seen;
    for (const Event& event : *events) {
      ASSERT_EQ(event.sequence, ++sequence);
      if (event.sample_id.empty()) continue;  // the run's end
      const std::vector<Event>& expected = EventsOf(event.sample_id);
      const size_t place = seen[{event.sample_id, event.attempt}]++;
      ASSERT_LT(place, expected.size());
      EXPECT_EQ(event.body, expected[place].body);
    }
  }
}

void Scenario::Look() {
  CheckTold(*store_);
  for (const auto& [request, run] : runs_) {
    auto events = store_->ReadAfter(run, 0, 1'000'000);
    if (events.ok()) events_[run] = *std::move(events);
  }
}

void Scenario::CheckFile(const std::string& path) {
  SCOPED_TRACE(path + ", opened by a new process");
  auto store = OpenSqliteStore(path, FastOptions());
  ASSERT_TRUE(store.ok()) << store.status();
  CheckTold(**store);
  EXPECT_TRUE((*store)->Close().ok());
  const auto database = OpenForReading(path);
  ASSERT_TRUE(database.ok()) << database.status();
  auto check = (*database)->Prepare("PRAGMA integrity_check");
  ASSERT_TRUE(check.ok() && check->Step().value_or(false));
  EXPECT_EQ(check->Text(0), "ok");
  auto dangling = (*database)->Prepare("PRAGMA foreign_key_check");
  ASSERT_TRUE(dangling.ok());
  EXPECT_FALSE(dangling->Step().value_or(true));
}

std::string Scenario::Copy() {
  const std::string copy = dir_.File(std::to_string(++copies_) + ".db");
  for (const char* part : {"", "-wal", "-journal"}) {
    std::error_code missing;
    std::filesystem::copy_file(path_ + part, copy + part, missing);
  }
  return copy;
}

void Scenario::LiveThroughFailure() {
  SCOPED_TRACE("while the disk fails");
  if (store_ != nullptr) {
    CheckTold(*store_);
    EXPECT_FALSE(TryCreate("refused").ok());
  }
  const std::string copy = Copy();
  disk_.Mend();
  const absl::Time mended = absl::Now();
  if (store_ != nullptr) UntilOk([&] { return TryCreate("afterwards"); });
  longest_recovery_ = std::max(longest_recovery_, absl::Now() - mended);
  EXPECT_LE(longest_recovery_, kRecovery);
  CheckFile(copy);
}

void Scenario::CheckEnd(const std::string& run) {
  CheckFile(path_);
  const auto reader = RecordsReader::Open(path_);
  ASSERT_TRUE(reader.ok()) << reader.status();
  const auto samples = (*reader)->ListSamples(run, 0, 100);
  const auto events = (*reader)->ReadAfter(run, 0, 1'000'000);
  ASSERT_TRUE(samples.ok() && events.ok());
  EXPECT_EQ(samples->size(), 3u);
  for (const SampleInfo& sample : *samples) {
    EXPECT_EQ(sample.state, SampleState::kDone);
    std::vector<Event> last;
    for (const Event& event : *events)
      if (event.sample_id == sample.sample_id &&
          event.attempt == sample.attempt)
        last.push_back(event);
    EXPECT_EQ(last.size(), EventsOf(sample.sample_id).size());
  }
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
    EXPECT_EQ(entry.path().string().find(".export-"), std::string::npos);
}

void Scenario::Run() {
  SCOPED_TRACE(name_);
  Open();
  if (store_ == nullptr) return;
  const std::string one = Create("one");
  Submit(one, {"a", "b"}, /*complete=*/false);
  const std::string two = Create("two");
  Submit(two, {"c"}, /*complete=*/true);
  Cancel(two);
  store_->Release(Attempt(2));
  Attempt(5);
  Export(one);
  Submit(one, {"d"}, /*complete=*/true);
  Attempt(3);
  Close();
  Open();
  while (Info(one).samples_done < 3 && !::testing::Test::HasFailure())
    Attempt(5);
  EXPECT_EQ(Info(one).state, RunState::kSucceeded);
  Export(one);
  Close();
  disk_.Mend();
  CheckEnd(one);
}

struct Kind {
  int64_t number;
  DiskFault fault;
  bool lasting;
};

// All N take minutes, and much longer under a sanitizer: unless it is told
// otherwise (disk.sh does), the test looks at every few of them.
int64_t Stride() {
  const char* const stride = std::getenv("KVRECALL_FAULT_STRIDE");
  int64_t value = 0;
  return stride != nullptr && absl::SimpleAtoi(stride, &value) && value > 0
             ? value
             : 17;
}

class DiskTest : public ::testing::TestWithParam<Kind> {
 protected:
  // The store's log would say it of every one of thousands.
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void TearDown() override { spdlog::set_level(spdlog::level::info); }
};

TEST_P(DiskTest, NothingThatWasToldIsLostAndWorkGoesOn) {
  const Kind kind = GetParam();
  FaultyDisk disk;
  int scenarios = 0;
  absl::Duration longest = absl::ZeroDuration();
  // Each kind begins with another N, so that together they see more of them.
  for (int64_t n = kind.number;; n += Stride()) {
    disk.FailAt(n, kind.fault, kind.lasting);
    Scenario scenario(&disk, std::to_string(n));
    scenario.Run();
    longest = std::max(longest, scenario.longest_recovery());
    if (disk.faults() == 0 || HasFailure()) break;
    ++scenarios;
  }
  EXPECT_GT(scenarios, 0);
  RecordProperty("scenarios", scenarios);
  RecordProperty("recovery_us",
                 std::to_string(absl::ToInt64Microseconds(longest)));
}

INSTANTIATE_TEST_SUITE_P(Faults, DiskTest,
                         ::testing::Values(Kind{1, DiskFault::kFull, false},
                                           Kind{2, DiskFault::kFull, true},
                                           Kind{3, DiskFault::kTornWrite,
                                                false},
                                           Kind{4, DiskFault::kTornWrite, true},
                                           Kind{5, DiskFault::kIoError, false},
                                           Kind{6, DiskFault::kIoError, true}),
                         [](const auto& kind) {
                           return std::string(DiskFaultName(kind.param.fault)) +
                                  (kind.param.lasting ? "_lasting" : "_once");
                         });

class FailingDiskTest : public StoreTest {
 protected:
  // Waits until the store has tried `more` times again.
  void AwaitFaults(int64_t more) {
    const int64_t enough = disk_.faults() + more;
    const absl::Time deadline = absl::Now() + kPatience;
    while (disk_.faults() < enough) ASSERT_LT(absl::Now(), deadline);
  }

 private:
  // Below the store, which StoreTest closes last.
  struct CloseFirst {
    std::unique_ptr<Store>* store;
    ~CloseFirst() { store->reset(); }
  };

 protected:
  FaultyDisk disk_;

 private:
  const CloseFirst close_first_{&store_};
};

TEST_F(FailingDiskTest, ALeaseWaitsForTheDisk) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  disk_.FailAt(1, DiskFault::kIoError, /*lasting=*/true);
  auto leasing =
      std::async(std::launch::async, [&] { return store_->Lease(); });
  AwaitFaults(3);
  disk_.Mend();
  const auto leased = leasing.get();
  ASSERT_TRUE(leased.ok()) << leased.status();
  EXPECT_EQ(leased->sample.id, "a");
  EXPECT_EQ(leased->attempt, 1);
}

TEST_F(FailingDiskTest, ALeaseThatWaitsForTheDiskCanBeStopped) {
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  disk_.FailAt(1, DiskFault::kFull, /*lasting=*/true);
  auto leasing =
      std::async(std::launch::async, [&] { return store_->Lease(); });
  AwaitFaults(1);
  store_->StopLeasing();
  EXPECT_TRUE(absl::IsCancelled(leasing.get().status()));
}

// The brake: what a disk refuses is not begun again and again at once.
TEST_F(FailingDiskTest, ASampleWhoseEventsAreLostRestsBeforeItIsTriedAgain) {
  store_.reset();
  options_.retry_interval = absl::Milliseconds(200);
  Open();
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const LeasedSample leased = Lease();
  Append(leased, {make_.Start()});
  Flush();
  disk_.FailAt(1, DiskFault::kFull, /*lasting=*/true);
  Append(leased, {make_.Step(1)});
  AwaitFaults(1);
  disk_.Mend();
  Flush();
  EXPECT_FALSE(store_->Append(leased, {make_.Step(2)}).ok());
  const absl::Time before = absl::Now();
  store_->Release(leased);
  EXPECT_EQ(Lease().attempt, 2);
  EXPECT_GE(absl::Now() - before, options_.retry_interval);
}

// At each operation that a disk may refuse, up to the one after which it is
// there.
TEST_F(FailingDiskTest, ABackupIsWholeOrNotThere) {
  spdlog::set_level(spdlog::level::off);
  const std::string run = Create();
  ASSERT_TRUE(Submit(run, {TestSample("a")}).ok());
  const std::string file = dir_.File("backup");
  for (const DiskFault fault :
       {DiskFault::kFull, DiskFault::kTornWrite, DiskFault::kIoError}) {
    int64_t n = 0;
    absl::StatusOr<int64_t> made = absl::UnknownError("");
    do {
      disk_.FailAt(++n, fault, /*lasting=*/false);
      made = store_->Backup(file, [] { return false; });
      disk_.Mend();
      EXPECT_EQ(std::filesystem::exists(file), made.ok());
      for (const char* suffix : {".part", ".part-journal", ".part-wal"})
        EXPECT_FALSE(std::filesystem::exists(file + suffix)) << suffix;
      ASSERT_LT(n, 1000);
    } while (!made.ok());
    EXPECT_GT(n, 2);
    const auto reader = RecordsReader::Open(file);
    ASSERT_TRUE(reader.ok()) << reader.status();
    EXPECT_EQ((*reader)->GetRun(run)->samples_submitted, 1);
    std::filesystem::remove(file);
  }
  spdlog::set_level(spdlog::level::info);
  // The store did not notice.
  EXPECT_EQ(Lease().sample.id, "a");
}

// At each operation: what was answered holds, and the rest comes once the disk
// is well again.
TEST_F(FailingDiskTest, ADeletionOutlivesTheDisksFailures) {
  spdlog::set_level(spdlog::level::off);
  for (int64_t n = 1; n <= 12; ++n) {
    const std::string run = Create("request" + std::to_string(n));
    std::vector<Sample> samples;
    for (int i = 0; i < 64; ++i)
      samples.push_back(TestSample(std::to_string(i)));
    ASSERT_TRUE(Submit(run, samples).ok());
    ASSERT_TRUE(Cancel(run).ok());
    disk_.FailAt(n, DiskFault::kFull, /*lasting=*/true);
    const auto deleted = Await<absl::StatusOr<DeletedRun>>(
        [&](auto done) { store_->DeleteRun(run, std::move(done)); });
    EXPECT_EQ(absl::IsNotFound(store_->GetRun(run).status()), deleted.ok());
    // Its pieces fail meanwhile.
    while (deleted.ok() && !disk_.failing() &&
           store_->GetStatus()->runs_being_deleted > 0)
      std::this_thread::yield();
    disk_.Mend();
    if (!deleted.ok()) {
      EXPECT_TRUE(Await<absl::StatusOr<DeletedRun>>([&](auto done) {
                    store_->DeleteRun(run, std::move(done));
                  }).ok());
    }
    while (store_->GetStatus()->runs_being_deleted > 0)
      std::this_thread::yield();
    const auto database = OpenForReading(path_);
    ASSERT_TRUE(database.ok());
    for (const char* table : {"runs", "samples", "sample_inputs", "lanes",
                              "gap_lanes", "sample_events"})
      EXPECT_EQ((*database)
                    ->QueryInt(std::string("SELECT count(*) FROM ") + table)
                    .value(),
                0)
          << table << " " << n;
  }
  spdlog::set_level(spdlog::level::info);
}

}  // namespace
}  // namespace kvrecall
