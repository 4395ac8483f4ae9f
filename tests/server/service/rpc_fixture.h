#pragma once

// A server on a free port over a FakeStore, with a real channel to it.

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"

#include "kvrecall/v1/admin_service.grpc.pb.h"
#include "kvrecall/v1/model_service.grpc.pb.h"
#include "kvrecall/v1/run_service.grpc.pb.h"
#include "server/service/rpc_server.h"
#include "tests/server/service/counting_observer.h"
#include "tests/server/service/fake_store.h"

namespace kvrecall {

// Accepts every policy but "unheard_of", completes random's seed.
class FakePlanner final : public RunPlanner {
 public:
  absl::StatusOr<Plan> Complete(RunConfig config) override {
    for (PolicySpec& policy : config.policies) {
      if (policy.name == "unheard_of")
        return absl::InvalidArgumentError("unknown policy 'unheard_of'");
      if (policy.name == "random") policy.parameters.emplace("seed", 0);
    }
    Plan plan;
    plan.config = std::move(config);
    plan.provenance.model = "fake";
    return plan;
  }
};

class RpcTest : public ::testing::Test {
 protected:
  static constexpr int64_t kWindow = 32768;

  RpcTest() { StartServer({}); }

  // A server with other options in the place of the one that runs.
  void StartServer(RpcServerOptions options) {
    server_.reset();
    options.address = "127.0.0.1:0";
    RpcBackends backends;
    backends.store = &store_;
    backends.planner = &planner_;
    backends.observer = &observer_;
    backends.access = &access_;
    backends.model.set_name("fake");
    backends.model.set_context_window(kWindow);
    backends.info.set_version("1.2.3");
    // A token a byte.
    backends.tokenize = [](std::string_view text, bool add_special_tokens) {
      TokenizedText tokens;
      if (add_special_tokens) tokens = {{1}, {"<s>"}};
      for (const char c : text) {
        tokens.ids.push_back(static_cast<unsigned char>(c));
        tokens.tokens.push_back(std::string(1, c));
      }
      return tokens;
    };
    backends.request_drain = [this] { ++drains_; };
    auto server = RpcServer::Start(options, std::move(backends));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    runs_ = v1::RunService::NewStub(NewChannel());
    models_ = v1::ModelService::NewStub(NewChannel());
    admin_ = v1::AdminService::NewStub(NewChannel());
  }

  // A connection of its own, not one that another channel has open.
  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(
        absl::StrCat("127.0.0.1:", server_->port()),
        grpc::InsecureChannelCredentials(), arguments);
  }

  static v1::CreateRunRequest NewRunRequest(const std::string& request_id) {
    v1::CreateRunRequest request;
    request.set_request_id(request_id);
    request.mutable_config()->set_task("hotpotqa");
    return request;
  }

  // Makes a run and returns its id.
  std::string MakeRun(const std::string& request_id) {
    v1::Run run;
    grpc::ClientContext context;
    const grpc::Status status =
        runs_->CreateRun(&context, NewRunRequest(request_id), &run);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return run.run_id();
  }

  static std::vector<Event> Steps(int count) {
    std::vector<Event> events;
    for (int i = 1; i <= count; ++i) {
      StepRecord step;
      step.step = i;
      step.token = "t";
      events.push_back({0, "sample", 1, step});
    }
    return events;
  }

  static std::vector<Event> End() {
    return {Event{0, "", 1, RunEnd{RunState::kSucceeded, 1, 0}}};
  }

  FakeStore store_;
  FakePlanner planner_;
  AccessControl access_;
  CountingObserver observer_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::RunService::Stub> runs_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::AdminService::Stub> admin_;
  std::atomic<int> drains_ = 0;  // asked for
};

}  // namespace kvrecall
