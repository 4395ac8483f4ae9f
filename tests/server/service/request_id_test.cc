// A call's id: from the client or made, told to the client, and in the log.

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "server/log.h"
#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class RequestIdTest : public RpcTest {
 protected:
  ~RequestIdTest() override { SetUpLog("info", LogFormat::kText); }

  static std::string IdIn(const grpc::ClientContext& context) {
    const auto& metadata = context.GetServerInitialMetadata();
    EXPECT_EQ(metadata.count("x-request-id"), 1);
    const auto it = metadata.find("x-request-id");
    return it == metadata.end()
               ? ""
               : std::string(it->second.data(), it->second.size());
  }

  // The id that a call has which asks for `wanted`; empty: it asks for none.
  std::string IdOfGetRun(const std::string& wanted) {
    grpc::ClientContext context;
    if (!wanted.empty()) context.AddMetadata("x-request-id", wanted);
    v1::GetRunRequest request;
    request.set_run_id("none");
    v1::Run run;
    EXPECT_FALSE(runs_->GetRun(&context, request, &run).ok());
    return IdIn(context);
  }
};

TEST_F(RequestIdTest, IsTheClientsWhereItIsOne) {
  EXPECT_EQ(IdOfGetRun("Ab-1._"), "Ab-1._");
  const std::string longest(64, 'x');
  EXPECT_EQ(IdOfGetRun(longest), longest);
}

TEST_F(RequestIdTest, IsMadeWhereThereIsNone) {
  const std::string first = IdOfGetRun("");
  EXPECT_THAT(first, MatchesRegex("[0-9a-f]{16}"));
  EXPECT_NE(IdOfGetRun(""), first);
  for (const std::string& bad : {std::string(65, 'x'), std::string("a b"),
                                 std::string("\"}"), std::string("a/b")})
    EXPECT_THAT(IdOfGetRun(bad), MatchesRegex("[0-9a-f]{16}")) << bad;
}

TEST_F(RequestIdTest, StreamsHaveOneToo) {
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "stream-1");
  v1::WatchRunRequest request;
  request.set_run_id(MakeRun("a"));
  store_.Commit(request.run_id(), End());
  auto reader = runs_->WatchRun(&context, request);
  v1::WatchRunResponse response;
  while (reader->Read(&response)) {
  }
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(IdIn(context), "stream-1");
}

TEST_F(RequestIdTest, TheLogHasIt) {
  SetUpLog("debug", LogFormat::kJson);
  testing::internal::CaptureStderr();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "mine");
  v1::Run run;
  ASSERT_TRUE(runs_->CreateRun(&context, NewRunRequest("a"), &run).ok());
  server_.reset();  // ends whatever still logs
  const std::string log = testing::internal::GetCapturedStderr();
  int lines = 0;
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);) {
    const auto object = nlohmann::json::parse(line);
    if (!object.contains("request")) continue;
    ++lines;
    EXPECT_EQ(object["request"], "mine") << line;
    EXPECT_EQ(object["method"], "CreateRun") << line;
    EXPECT_EQ(object.contains("run"), object["level"] == "info") << line;
    EXPECT_EQ(object.value("run", run.run_id()), run.run_id()) << line;
  }
  EXPECT_EQ(lines, 2) << log;
}

TEST_F(RequestIdTest, AnInternalErrorNamesIt) {
  store_.FailReads(absl::InternalError("the secret reason"));
  testing::internal::CaptureStderr();
  grpc::ClientContext context;
  context.AddMetadata("x-request-id", "mine");
  v1::GetRunRequest request;
  request.set_run_id("none");
  v1::Run run;
  const grpc::Status status = runs_->GetRun(&context, request, &run);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_EQ(status.error_message(),
            "the server failed on this request; its log says why (request "
            "mine)");
  EXPECT_THAT(log, HasSubstr("the secret reason"));
}

}  // namespace
}  // namespace kvrecall
