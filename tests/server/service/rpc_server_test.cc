// Start and end of the listener; the health service and reflection, whose
// messages are written by hand because Debian has no headers for them.

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"

#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string ToBytes(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

class RpcServerTest : public RpcTest {
 protected:
  // The enumeration in the health service's answer (1 serving, 2 not), or -1
  // on an error.
  int Health(const std::string& service) {
    grpc::GenericStub stub(NewChannel());
    grpc::ClientContext context;
    // HealthCheckRequest{service = 1}
    const grpc::ByteBuffer request = ToBuffer(
        service.empty()
            ? ""
            : absl::StrCat("\x0A", std::string(1, service.size()), service));
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", {}, &request,
                   &response,
                   [&](grpc::Status status) { done.set_value(status); });
    if (!done.get_future().get().ok()) return -1;
    const std::string bytes = ToBytes(response);
    // HealthCheckResponse{status = 1}
    return bytes.size() == 2 && bytes[0] == '\x08' ? bytes[1] : -1;
  }
};

TEST_F(RpcServerTest, HealthIsServingPerServiceUntilTheServerDrains) {
  const std::vector<std::string> services = {"", "kvrecall.v1.RunService",
                                             "kvrecall.v1.ModelService",
                                             "kvrecall.v1.AdminService"};
  for (const std::string& service : services) EXPECT_EQ(Health(service), 1);
  EXPECT_EQ(Health("no.such.Service"), -1);
  server_->BeginDrain();
  for (const std::string& service : services) EXPECT_EQ(Health(service), 2);
}

TEST_F(RpcServerTest, ADrainingServerRefusesNewWorkAndGoesOnWithTheRest) {
  const std::string run_id = MakeRun("a");
  server_->BeginDrain();
  v1::Run run;
  grpc::ClientContext first;
  const grpc::Status refused =
      runs_->CreateRun(&first, NewRunRequest("b"), &run);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.error_message(), HasSubstr("shutting down"));
  grpc::ClientContext second;
  v1::SubmitSamplesRequest submit;
  submit.set_run_id(run_id);
  submit.set_complete(true);
  v1::SubmitSamplesResponse submitted;
  EXPECT_EQ(runs_->SubmitSamples(&second, submit, &submitted).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  grpc::ClientContext third;
  v1::GetRunRequest get;
  get.set_run_id(run_id);
  EXPECT_TRUE(runs_->GetRun(&third, get, &run).ok());
}

TEST_F(RpcServerTest, ReflectionListsTheServices) {
  grpc::GenericStub stub(NewChannel());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto stream = stub.PrepareCall(
      &context,
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  stream->StartCall(nullptr);
  ASSERT_TRUE(wait());
  // ServerReflectionRequest{list_services = 7: "*"}
  stream->Write(ToBuffer("\x3A\x01*"), nullptr);
  ASSERT_TRUE(wait());
  grpc::ByteBuffer response;
  stream->Read(&response, nullptr);
  ASSERT_TRUE(wait());
  const std::string bytes = ToBytes(response);
  EXPECT_THAT(bytes, HasSubstr("kvrecall.v1.RunService"));
  EXPECT_THAT(bytes, HasSubstr("kvrecall.v1.ModelService"));
  EXPECT_THAT(bytes, HasSubstr("kvrecall.v1.AdminService"));
  EXPECT_THAT(bytes, HasSubstr("grpc.health.v1.Health"));
  stream->WritesDone(nullptr);
  ASSERT_TRUE(wait());
  grpc::Status status;
  stream->Finish(&status, nullptr);
  ASSERT_TRUE(wait());
  EXPECT_TRUE(status.ok());
  queue.Shutdown();
}

TEST_F(RpcServerTest, APortInUseIsAnErrorInOneLine) {
  RpcServerOptions options;
  options.address = absl::StrCat("127.0.0.1:", server_->port());
  const auto second = RpcServer::Start(
      options, {&store_, &planner_, &observer_, &access_, {}, {}, {}});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(options.address + ": the port is in use"));
}

TEST_F(RpcServerTest, PlaintextForOtherMachinesNeedsLeave) {
  RpcServerOptions options;
  options.address = "0.0.0.0:0";
  const RpcBackends backends{&store_, &planner_, &observer_, &access_,
                             {},      {},        {}};
  const auto refused = RpcServer::Start(options, backends);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("--allow-plaintext-remote"));
  options.allow_plaintext_remote = true;
  EXPECT_TRUE(RpcServer::Start(options, backends).ok());
}

TEST_F(RpcServerTest, AddressesThatAreNoneAreNamed) {
  for (const char* address : {"", "127.0.0.1", ":", "127.0.0.1:x",
                              "127.0.0.1:65536", "127.0.0.1:-1"}) {
    RpcServerOptions options;
    options.address = address;
    const auto server = RpcServer::Start(
        options, {&store_, &planner_, &observer_, &access_, {}, {}, {}});
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(server.status().message()),
                HasSubstr(absl::StrCat("'", address, "'")));
  }
}

}  // namespace
}  // namespace kvrecall
