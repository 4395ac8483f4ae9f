// AdminService over a real channel.

#include <future>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/error_reason.h"
#include "proto/convert/error_convert.h"
#include "proto/convert/time_convert.h"
#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AdminServiceTest : public RpcTest {
 protected:
  template <typename Request, typename Response>
  grpc::Status CallAdmin(grpc::Status (v1::AdminService::Stub::*method)(
                             grpc::ClientContext*, const Request&, Response*),
                         const Request& request, Response* response) {
    grpc::ClientContext context;
    return (admin_.get()->*method)(&context, request, response);
  }

  grpc::Status Delete(const std::string& run_id,
                      v1::DeleteRunResponse* response) {
    v1::DeleteRunRequest request;
    request.set_run_id(run_id);
    return CallAdmin(&v1::AdminService::Stub::DeleteRun, request, response);
  }

  grpc::Status Backup(const std::string& path, v1::BackupResponse* response) {
    v1::BackupRequest request;
    request.set_path(path);
    return CallAdmin(&v1::AdminService::Stub::Backup, request, response);
  }

  grpc::Status Drain(const std::string& reason) {
    v1::DrainRequest request;
    request.set_reason(reason);
    v1::DrainResponse response;
    return CallAdmin(&v1::AdminService::Stub::Drain, request, &response);
  }

  // The reason that a status carries for programs.
  static std::string ReasonIn(const grpc::Status& status) {
    return ReasonOf(WithErrorDetails(
        absl::Status(static_cast<absl::StatusCode>(status.error_code()), ""),
        status.error_details()));
  }
};

TEST_F(AdminServiceTest, ARunIsDeletedOnceItHasEnded) {
  const std::string run = MakeRun("a");
  v1::DeleteRunResponse response;
  const grpc::Status active = Delete(run, &response);
  EXPECT_EQ(active.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(ReasonIn(active), "RUN_ACTIVE");
  store_.Commit(run, End());
  EXPECT_TRUE(Delete(run, &response).ok());
  EXPECT_EQ(response.samples(), 0);
  EXPECT_EQ(response.events(), 1);
  const grpc::Status gone = Delete(run, &response);
  EXPECT_EQ(gone.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(ReasonIn(gone), "RUN_NOT_FOUND");
  EXPECT_EQ(Delete("", &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(observer_.handled("DeleteRun 0"), 1);
}

TEST_F(AdminServiceTest, TheStatusIsThatOfStoreAndServer) {
  StoreStatus status;
  status.runs = 1;
  status.oldest_run = absl::FromUnixMicros(1'700'000'000'123'456);
  status.runs_being_deleted = 2;
  status.samples_waiting = 3;
  status.samples_held = 12;
  status.samples_running = 4;
  status.database_bytes = 5;
  status.used_bytes = 6;
  status.log_bytes = 7;
  status.free_disk_bytes = 8;
  status.min_free_bytes = 9;
  status.max_used_bytes = 10;
  status.max_open_samples = 11;
  status.keep = absl::Hours(48);
  store_.SetStatus(status);
  v1::ServerStatus told;
  ASSERT_TRUE(CallAdmin(&v1::AdminService::Stub::GetStatus,
                        v1::GetStatusRequest(), &told)
                  .ok());
  EXPECT_FALSE(told.draining());
  EXPECT_EQ(told.runs(), 1);
  EXPECT_EQ(FromTimestamp(told.oldest_run_time()), *status.oldest_run);
  EXPECT_EQ(told.runs_being_deleted(), 2);
  EXPECT_EQ(told.samples_waiting(), 3);
  EXPECT_EQ(told.samples_held(), 12);
  EXPECT_EQ(told.samples_running(), 4);
  EXPECT_EQ(told.open_streams(), 0);
  EXPECT_EQ(told.database_bytes(), 5);
  EXPECT_EQ(told.used_bytes(), 6);
  EXPECT_EQ(told.log_bytes(), 7);
  EXPECT_EQ(told.free_disk_bytes(), 8);
  EXPECT_EQ(told.min_free_disk_bytes(), 9);
  EXPECT_EQ(told.max_used_bytes(), 10);
  EXPECT_EQ(told.max_samples(), 11);
  EXPECT_EQ(FromProto(told.keep()), absl::Hours(48));
  store_.SetStatus({});
  server_->BeginDrain();
  told.Clear();
  ASSERT_TRUE(CallAdmin(&v1::AdminService::Stub::GetStatus,
                        v1::GetStatusRequest(), &told)
                  .ok());
  EXPECT_TRUE(told.draining());
  EXPECT_FALSE(told.has_oldest_run_time());
  EXPECT_FALSE(told.has_keep());
}

TEST_F(AdminServiceTest, ACheckpointSaysWhatBecameOfTheLog) {
  v1::CheckpointResponse response;
  ASSERT_TRUE(CallAdmin(&v1::AdminService::Stub::Checkpoint,
                        v1::CheckpointRequest(), &response)
                  .ok());
  EXPECT_EQ(response.bytes_before(), 4096);
  EXPECT_EQ(response.bytes_after(), 0);
}

TEST_F(AdminServiceTest, ABackupIsWrittenWhereTheCallSays) {
  store_.SetBackup(123);
  v1::BackupResponse response;
  EXPECT_TRUE(Backup("/backups/a.db", &response).ok());
  EXPECT_EQ(response.bytes(), 123);
  EXPECT_THAT(store_.WaitForBackups(1), ElementsAre("/backups/a.db"));
}

TEST_F(AdminServiceTest, APathThatIsNoneIsAWrongField) {
  store_.SetBackup(1);
  v1::BackupResponse response;
  for (const char* path : {"", "a.db", "./a.db", "/folder/"}) {
    const grpc::Status refused = Backup(path, &response);
    EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(refused.error_message(), ::testing::StartsWith("path: "));
  }
  // As the file system says.
  store_.SetBackup(absl::InvalidArgumentError("/none/a.db: no such folder"));
  const grpc::Status none = Backup("/none/a.db", &response);
  EXPECT_EQ(none.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(none.error_message(), "path: /none/a.db: no such folder");
  EXPECT_EQ(ReasonIn(none), "INVALID_FIELD");
  store_.SetBackup(
      WithReason(absl::AlreadyExistsError("there already"), "FILE_EXISTS"));
  EXPECT_EQ(ReasonIn(Backup("/a.db", &response)), "FILE_EXISTS");
  store_.SetBackup(absl::FailedPreconditionError("/a.db.part: cannot be"));
  EXPECT_EQ(ReasonIn(Backup("/a.db", &response)), "INTERNAL");
}

// One at a time: the second begins when the first was given up.
TEST_F(AdminServiceTest, ABackupEndsWithItsCall) {
  grpc::ClientContext first_context;
  v1::BackupRequest request;
  request.set_path("/first.db");
  auto first = std::async(std::launch::async, [&] {
    v1::BackupResponse response;
    return admin_->Backup(&first_context, request, &response);
  });
  store_.WaitForBackups(1);
  auto second = std::async(std::launch::async, [&] {
    v1::BackupResponse response;
    return Backup("/second.db", &response);
  });
  first_context.TryCancel();
  EXPECT_EQ(first.get().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(store_.WaitForBackups(2), ElementsAre("/first.db", "/second.db"));
  // And with the server.
  server_->Shutdown(absl::InfiniteDuration());
  const grpc::Status stopped = second.get();
  EXPECT_EQ(stopped.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonIn(stopped), "DRAINING");
}

TEST_F(AdminServiceTest, ADrainIsAskedForWithAReason) {
  const grpc::Status refused = Drain("");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("reason"));
  EXPECT_EQ(drains_, 0);
  EXPECT_TRUE(Drain("new disk\n").ok());
  EXPECT_TRUE(Drain("new disk").ok());
  server_->Shutdown(absl::InfiniteDuration());
  EXPECT_EQ(drains_, 2);
}

}  // namespace
}  // namespace kvrecall
