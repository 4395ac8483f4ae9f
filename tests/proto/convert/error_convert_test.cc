#include "proto/convert/error_convert.h"

#include <string>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error_reason.h"
#include "proto/convert/field.h"

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(ErrorConvertTest, ReasonFactsAndTimeSurviveTheWire) {
  const absl::Status status = WithRetryAfter(
      WithFact(WithReason(absl::UnavailableError("words"), "DRAINING"),
               "last_sequence", "7"),
      absl::Milliseconds(1500));
  const absl::Status back =
      WithErrorDetails(absl::UnavailableError("words"), ErrorDetails(status));
  EXPECT_EQ(ReasonOf(back), "DRAINING");
  EXPECT_THAT(FactsOf(back), ElementsAre(Pair("last_sequence", "7")));
  EXPECT_EQ(RetryAfterOf(back), absl::Milliseconds(1500));
}

// What any gRPC client reads, in any language.
TEST(ErrorConvertTest, TheBytesAreGooglesErrorModel) {
  google::rpc::Status message;
  ASSERT_TRUE(message.ParseFromString(
      ErrorDetails(FieldError("config.task", "is empty"))));
  EXPECT_EQ(message.code(), 3);
  EXPECT_EQ(message.message(), "config.task: is empty");
  ASSERT_EQ(message.details_size(), 2);
  EXPECT_EQ(message.details(0).type_url(),
            "type.googleapis.com/google.rpc.ErrorInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(message.details(0).UnpackTo(&info));
  EXPECT_EQ(info.domain(), "kvrecall");
  EXPECT_EQ(info.reason(), "INVALID_FIELD");
  google::rpc::BadRequest bad;
  ASSERT_TRUE(message.details(1).UnpackTo(&bad));
  ASSERT_EQ(bad.field_violations_size(), 1);
  EXPECT_EQ(bad.field_violations(0).field(), "config.task");
  EXPECT_EQ(bad.field_violations(0).description(), "config.task: is empty");
}

TEST(ErrorConvertTest, DetailsThatAreNotOursChangeNothing) {
  const absl::Status status = absl::InternalError("words");
  for (const std::string& bytes :
       {std::string(), std::string("\xFF\xFF"), std::string(100, 'x')})
    EXPECT_EQ(WithErrorDetails(status, bytes), status);
  google::rpc::ErrorInfo info;
  info.set_domain("elsewhere");
  info.set_reason("OTHER");
  google::rpc::Status message;
  message.add_details()->PackFrom(info);
  EXPECT_EQ(WithErrorDetails(status, message.SerializeAsString()), status);
}

TEST(ErrorConvertTest, AnEmptyReasonIsNone) {
  google::rpc::ErrorInfo info;
  info.set_domain(kErrorDomain);
  google::rpc::Status message;
  message.add_details()->PackFrom(info);
  EXPECT_EQ(ReasonOf(WithErrorDetails(absl::NotFoundError("words"),
                                      message.SerializeAsString())),
            "RUN_NOT_FOUND");
}

}  // namespace
}  // namespace kvrecall
