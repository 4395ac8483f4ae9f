#pragma once

// Calls of RunService over a real channel.

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {

class RunServiceTest : public RpcTest {
 protected:
  // One call, its response thrown away.
  template <typename Request, typename Response>
  grpc::Status Call(grpc::Status (v1::RunService::Stub::*method)(
                        grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    return (runs_.get()->*method)(&context, request, response);
  }

  grpc::Status Create(const v1::CreateRunRequest& request, v1::Run* run) {
    return Call(&v1::RunService::Stub::CreateRun, request, run);
  }

  grpc::Status Submit(const v1::SubmitSamplesRequest& request,
                      v1::SubmitSamplesResponse* response) {
    return Call(&v1::RunService::Stub::SubmitSamples, request, response);
  }

  static v1::SubmitSamplesRequest OneSample(const std::string& run_id) {
    v1::SubmitSamplesRequest request;
    request.set_run_id(run_id);
    v1::Sample* sample = request.add_samples();
    sample->set_sample_id("s1");
    sample->set_input("Who?");
    sample->set_context("Passage 1:\nSomebody.");
    sample->add_answers("Somebody");
    return request;
  }
};

inline void ExpectInvalid(const grpc::Status& status,
                          const std::string& begin) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), ::testing::StartsWith(begin));
}

}  // namespace kvrecall
