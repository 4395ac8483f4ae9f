// `kvrecall-client admin …`, as an operator and as a script.

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "common/base/error_reason.h"
#include "proto/convert/error_convert.h"
#include "proto/convert/time_convert.h"
#include "tests/client/cli_testing.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CliAdminTest : public CliTest {
 protected:
  // As the server would say it.
  static grpc::Status Refusal(const absl::Status& status) {
    return {static_cast<grpc::StatusCode>(status.raw_code()),
            std::string(status.message()), ErrorDetails(status)};
  }
};

TEST_F(CliAdminTest, AScriptDeletesWithoutBeingAsked) {
  Start(MakeScript(2, 1));
  EXPECT_EQ(Run({"admin", "delete", "run-1"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "run run-1: deleted, with 2 samples and " +
                std::to_string(server_->script().run.last_sequence) +
                " events\n");
  EXPECT_EQ(err_.str(), "");
  EXPECT_THAT(server_->script().deleted, ElementsAre("run-1"));
}

TEST_F(CliAdminTest, SomebodyAtATerminalIsAskedFirst) {
  Start(MakeScript(1, 1));
  environment_.in_is_terminal = true;
  for (const char* no : {"n\n", "\n", "", "yesterday\n"}) {
    in_.clear();
    in_.str(no);
    EXPECT_EQ(Run({"admin", "delete", "run-1"}), kExitOk);
    EXPECT_THAT(err_.str(), HasSubstr("delete run-1 and all that was recorded? "
                                      "[y/N] nothing was deleted\n"));
    EXPECT_EQ(out_.str(), "");
  }
  EXPECT_THAT(server_->script().deleted, IsEmpty());
  in_.clear();
  in_.str("y\n");
  EXPECT_EQ(Run({"admin", "delete", "run-1"}), kExitOk);
  EXPECT_EQ(Run({"admin", "delete", "--yes", "run-1", "run-1"}), kExitOk);
  EXPECT_EQ(err_.str(), "");
  EXPECT_THAT(server_->script().deleted,
              ElementsAre("run-1", "run-1", "run-1"));
}

TEST_F(CliAdminTest, TheFirstRunThatCannotBeDeletedIsNamed) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"admin", "delete", "run-1", "run-2", "run-1"}), kExitUsage);
  EXPECT_EQ(err_.str(), "kvrecall-client: run_id: no run 'run-2'\n");
  EXPECT_THAT(server_->script().deleted, ElementsAre("run-1"));
  FakeScript active = MakeScript(1, 1);
  active.admin_status = Refusal(
      WithReason(absl::FailedPreconditionError("run 'run-1' has not ended; "
                                               "cancel it first"),
                 "RUN_ACTIVE"));
  Start(active);
  EXPECT_EQ(Run({"admin", "delete", "run-1"}), kExitError);
  EXPECT_EQ(err_.str(),
            "kvrecall-client: run 'run-1' has not ended; cancel it first\n");
}

TEST_F(CliAdminTest, ABackupIsNamedWithItsSize) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"admin", "backup", "/backups/a.db"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), "/backups/a.db: 1.2 MB, checked, on the server\n");
  EXPECT_THAT(server_->script().backups, ElementsAre("/backups/a.db"));
  FakeScript exists = MakeScript(1, 1);
  exists.admin_status = Refusal(WithReason(
      absl::AlreadyExistsError("/a.db: is there already"), "FILE_EXISTS"));
  Start(exists);
  EXPECT_EQ(Run({"admin", "backup", "/a.db"}), kExitUsage);
  EXPECT_EQ(err_.str(), "kvrecall-client: /a.db: is there already\n");
  EXPECT_EQ(Run({"admin", "backup"}), kExitUsage);
}

TEST_F(CliAdminTest, ACheckpointSaysWhatIsLeft) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"admin", "checkpoint"}), kExitOk);
  EXPECT_EQ(out_.str(), "log: 4.0 MB before, 0 B now\n");
  FakeScript busy = MakeScript(1, 1);
  busy.log_bytes_after = 1000;
  Start(busy);
  EXPECT_EQ(Run({"admin", "checkpoint"}), kExitOk);
  EXPECT_EQ(
      out_.str(),
      "log: 4.0 MB before, 1.0 kB now; somebody reads it all the while\n");
}

TEST_F(CliAdminTest, ADrainSaysWhy) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"admin", "drain"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(), "the server at " + server_->address() +
                            " takes no new work, and ends after the sample "
                            "that runs\n");
  EXPECT_EQ(Run({"admin", "drain", "--reason", "new disk"}), kExitOk);
  EXPECT_THAT(server_->script().drains,
              ElementsAre("asked for by kvrecall-client", "new disk"));
}

TEST_F(CliAdminTest, TheStatusIsALineForEachThing) {
  FakeScript script = MakeScript(1, 1);
  script.status.set_runs(12);
  *script.status.mutable_oldest_run_time() =
      ToTimestamp(absl::FromUnixSeconds(1'700'000'000));
  script.status.set_runs_being_deleted(2);
  *script.status.mutable_keep() = ToProto(absl::Hours(24 * 30));
  script.status.set_samples_waiting(3);
  script.status.set_samples_running(1);
  script.status.set_samples_held(2);
  script.status.set_max_samples(100);
  script.status.set_open_streams(4);
  script.status.set_database_bytes(120'000'000);
  script.status.set_used_bytes(80'000'000);
  script.status.set_max_used_bytes(200'000'000);
  script.status.set_log_bytes(4'100'000);
  script.status.set_free_disk_bytes(12'000'000'000);
  script.status.set_min_free_disk_bytes(268'435'456);
  Start(script);
  EXPECT_EQ(Run({"admin", "status"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "server    takes new work; 4 streams are open\n"
            "runs      12, the oldest of 2023-11-14; 2 being deleted; kept for "
            "30 days after their end\n"
            "queue     3 samples wait, 1 run, 2 are held; at most 100\n"
            "database  120.0 MB, of which records 80.0 MB; no new work from "
            "200.0 MB on\n"
            "log       4.1 MB\n"
            "disk      12.0 GB free; no new work below 268.4 MB\n");
  EXPECT_EQ(Run({"admin", "status", "--json"}), kExitOk);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_EQ(json["oldest_run_time"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(json["keep_days"], 30);
  EXPECT_EQ(json["used_bytes"], 80'000'000);
  EXPECT_EQ(json.size(),
            static_cast<size_t>(v1::ServerStatus::descriptor()->field_count()));
}

TEST_F(CliAdminTest, AServerWithoutLimitsAndRunsSaysLittle) {
  FakeScript script = MakeScript(1, 1);
  script.status.set_draining(true);
  Start(script);
  EXPECT_EQ(Run({"admin", "status"}), kExitOk);
  EXPECT_EQ(out_.str(),
            "server    drains; 0 streams are open\n"
            "runs      0\n"
            "queue     0 samples wait, 0 run\n"
            "database  0 B, of which records 0 B\n"
            "log       0 B\n"
            "disk      0 B free\n");
  EXPECT_EQ(Run({"admin", "status", "--json"}), kExitOk);
  const auto json = nlohmann::json::parse(out_.str());
  EXPECT_TRUE(json["oldest_run_time"].is_null());
  EXPECT_TRUE(json["keep_days"].is_null());
}

TEST_F(CliAdminTest, WhoMayNotIsToldSo) {
  FakeScript script = MakeScript(1, 1);
  script.admin_status = Refusal(absl::PermissionDeniedError(
      "this needs a token of scope admin; that of bob has scope read"));
  Start(script);
  for (const auto& command :
       std::vector<std::vector<std::string>>{{"admin", "status"},
                                             {"admin", "delete", "run-1"},
                                             {"admin", "backup", "/a"},
                                             {"admin", "checkpoint"},
                                             {"admin", "drain"}}) {
    EXPECT_EQ(Run(command), kExitError) << command[1];
    EXPECT_THAT(err_.str(), HasSubstr("needs a token of scope admin"));
    EXPECT_EQ(out_.str(), "");
  }
  EXPECT_EQ(Run({"admin"}), kExitUsage);
}

}  // namespace
}  // namespace kvrecall
