#include "tests/fault/load_calls.h"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "grpcpp/grpcpp.h"

#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {
namespace {

using Stub = v1::RunService::Stub;

std::unique_ptr<Stub> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel = grpc::CreateCustomChannel(
      address, grpc::InsecureChannelCredentials(), arguments);
  // What is measured is the server, not how a connection is made.
  channel->WaitForConnected(std::chrono::system_clock::now() +
                            std::chrono::seconds(10));
  return v1::RunService::NewStub(channel);
}

std::string CodeText(const grpc::Status& status) {
  return std::to_string(status.error_code());
}

// One call that is under way.
struct Submission {
  grpc::ClientContext context;
  v1::SubmitSamplesRequest request;
  v1::SubmitSamplesResponse response;
  grpc::Status status;
  int64_t began = 0;
  int64_t ended = 0;

  std::string Outcome() const {
    if (!status.ok()) return CodeText(status);
    return v1::SubmitSamplesResponse::Outcome_Name(
        response.results(0).outcome());
  }
};

// The name of a new run with 18 recalls a step; empty: refused.
std::string MakeRun(const std::string& address, int steps) {
  grpc::ClientContext context;
  v1::CreateRunRequest request;
  request.set_request_id("load-" + std::to_string(MonotonicNanos()));
  v1::RunConfig& config = *request.mutable_config();
  config.set_task("custom");
  for (const char* policy :
       {"h2o", "tova", "streaming", "random", "snapkv", "oracle"})
    config.add_policies(policy);
  config.add_scopes(v1::SCOPE_GLOBAL);
  for (const double ratio : {0.1, 0.2, 0.3})
    config.add_budgets()->set_current_ratio(ratio);
  config.set_max_new_tokens(steps);
  config.set_ignore_eos(true);
  config.set_chat_template("none");
  v1::Run response;
  Connect(address)->CreateRun(&context, request, &response);
  return response.run_id();
}

grpc::Status Complete(Stub& stub, const std::string& run_id) {
  grpc::ClientContext context;
  v1::SubmitSamplesRequest request;
  request.set_run_id(run_id);
  request.set_complete(true);
  v1::SubmitSamplesResponse response;
  return stub.SubmitSamples(&context, request, &response);
}

// Asks after a run again and again, over a connection of its own.
class Bystander {
 public:
  Bystander(const std::string& address, const std::string& run_id)
      : stub_(Connect(address)), run_id_(run_id), thread_([this] { Run(); }) {}

  Json Stop() {
    stop_ = true;
    thread_.join();
    return {{"failed", failed_}, {"ms", Milliseconds(std::move(took_))}};
  }

 private:
  void Run() {
    do {
      grpc::ClientContext context;
      v1::GetRunRequest request;
      request.set_run_id(run_id_);
      v1::Run response;
      const int64_t began = MonotonicNanos();
      if (!stub_->GetRun(&context, request, &response).ok()) ++failed_;
      took_.push_back(MonotonicNanos() - began);
    } while (!stop_);
  }

  const std::unique_ptr<Stub> stub_;
  const std::string run_id_;
  int64_t failed_ = 0;
  std::vector<int64_t> took_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

v1::SubmitSamplesRequest FloodRequest(const std::string& run_id,
                                      const Flood& flood) {
  v1::SubmitSamplesRequest request;
  request.set_run_id(run_id);
  for (int64_t i = 0; i < flood.empty_samples; ++i) request.add_samples();
  if (flood.text_bytes > 0) {
    v1::Sample* sample = request.add_samples();
    sample->set_sample_id("large");
    sample->set_context(std::string(flood.text_bytes, 'a'));
  }
  return request;
}

}  // namespace

Json SubmitAtOnce(const std::string& address, const Burst& burst) {
  const std::string run_id = MakeRun(address, burst.steps);
  std::vector<std::unique_ptr<Stub>> stubs;
  for (int i = 0; i < burst.connections; ++i) stubs.push_back(Connect(address));
  std::vector<Submission> calls(burst.samples);
  std::atomic<int> left = burst.samples;
  for (size_t i = 0; i < calls.size(); ++i) {
    Submission& call = calls[i];
    call.request.set_run_id(run_id);
    v1::Sample* sample = call.request.add_samples();
    sample->set_sample_id("s" + std::to_string(i));
    sample->set_input("Question " + std::to_string(i) + "?");
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    Submission& call = calls[i];
    call.began = MonotonicNanos();
    stubs[i % stubs.size()]->async()->SubmitSamples(
        &call.context, &call.request, &call.response,
        [&call, &left](grpc::Status status) {
          call.ended = MonotonicNanos();
          call.status = std::move(status);
          if (--left == 0) left.notify_all();
        });
  }
  for (int now = left; now != 0; now = left) left.wait(now);

  std::map<std::string, std::vector<int64_t>> took;
  for (const Submission& call : calls)
    took[call.Outcome()].push_back(call.ended - call.began);
  Json outcomes = Json::object();
  for (auto& [outcome, nanos] : took)
    outcomes[outcome] = Milliseconds(std::move(nanos));
  if (!burst.stays_open && !Complete(*stubs[0], run_id).ok())
    outcomes["not completed"] = 1;
  return {{"run", run_id}, {"outcomes", outcomes}};
}

Json SendFlood(const std::string& address, const std::string& run_id,
               const Flood& flood) {
  const v1::SubmitSamplesRequest request = FloodRequest(run_id, flood);
  const std::unique_ptr<Stub> stub = Connect(address);
  Bystander bystander(address, run_id);
  std::map<std::string, int> codes;
  std::vector<int64_t> took;
  for (int i = 0; i < flood.calls; ++i) {
    grpc::ClientContext context;
    v1::SubmitSamplesResponse response;
    const int64_t began = MonotonicNanos();
    ++codes[CodeText(stub->SubmitSamples(&context, request, &response))];
    took.push_back(MonotonicNanos() - began);
  }
  return {{"codes", codes},
          {"ms", Milliseconds(std::move(took))},
          {"bystander", bystander.Stop()}};
}

}  // namespace kvrecall
