// `kvrecall-client health`: what a container's health check goes by.

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/commands/command.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/client/cli_testing.h"

namespace kvrecall {
namespace {

namespace health = grpc::health::v1;
using ::testing::HasSubstr;

// Says of itself what it is told to.
class HealthServer final : public health::Health::Service {
 public:
  HealthServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

  grpc::Status Check(grpc::ServerContext*,
                     const health::HealthCheckRequest* request,
                     health::HealthCheckResponse* response) override {
    EXPECT_EQ(request->service(), "") << "the server as a whole";
    ++asked;
    // Becomes healthy by and by.
    response->set_status(asked > refusals ? health::HealthCheckResponse::SERVING
                                          : status.load());
    return grpc::Status::OK;
  }

  std::atomic<int> asked = 0;
  std::atomic<int> refusals = 1 << 30;
  std::atomic<health::HealthCheckResponse::ServingStatus> status =
      health::HealthCheckResponse::NOT_SERVING;

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

class CliHealthTest : public CliTest {
 protected:
  CliHealthTest() { environment_.server.address = health_.address(); }
  HealthServer health_;
};

TEST_F(CliHealthTest, ServingIsZero) {
  health_.refusals = 0;
  EXPECT_EQ(Run({"health"}), kExitOk);
  EXPECT_EQ(out_.str(), "serving\n");
  EXPECT_EQ(err_.str(), "");
  EXPECT_EQ(health_.asked, 1);
}

TEST_F(CliHealthTest, AllElseIsOne) {
  for (const auto status : {health::HealthCheckResponse::NOT_SERVING,
                            health::HealthCheckResponse::UNKNOWN}) {
    health_.status = status;
    EXPECT_EQ(Run({"health"}), kExitRunFailed);
    EXPECT_EQ(out_.str(), "not serving\n");
  }
}

TEST_F(CliHealthTest, NobodyThereIsThree) {
  environment_.server.address = "127.0.0.1:1";
  EXPECT_EQ(Run({"health"}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("no server at 127.0.0.1:1"));
}

TEST_F(CliHealthTest, AnotherServerIsThree) {
  Start(MakeScript(1, 1));  // which knows no such call
  EXPECT_EQ(Run({"health"}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("does not know this call"));
}

TEST_F(CliHealthTest, WaitsUntilItServes) {
  health_.refusals = 3;
  EXPECT_EQ(Run({"health", "--wait", "1m"}), kExitOk);
  EXPECT_EQ(out_.str(), "serving\n");
  EXPECT_EQ(health_.asked, 4);
}

TEST_F(CliHealthTest, WaitsNoLongerThanItWasTold) {
  const absl::Time start = absl::Now();
  EXPECT_EQ(Run({"health", "--wait", "500ms"}), kExitRunFailed);
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(500));
  EXPECT_GE(health_.asked, 3);
  environment_.server.address = "127.0.0.1:1";
  EXPECT_EQ(Run({"health", "--wait", "500ms"}), kExitError);
}

TEST_F(CliHealthTest, AWaitThatIsNoTimeIsRefused) {
  EXPECT_EQ(Run({"health", "--wait", "soon"}), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--wait soon: expected a time"));
  EXPECT_EQ(Run({"health", "--wait", "-1s"}), kExitUsage);
}

}  // namespace
}  // namespace kvrecall
