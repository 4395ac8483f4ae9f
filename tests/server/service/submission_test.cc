#include "server/service/submission.h"

#include <string>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

grpc::ByteBuffer Bytes(const std::string& text) {
  // In two slices, as a network has it.
  const grpc::Slice slices[] = {grpc::Slice(text.substr(0, text.size() / 2)),
                                grpc::Slice(text.substr(text.size() / 2))};
  return grpc::ByteBuffer(slices, 2);
}

absl::Status Read(const std::string& text, v1::SubmitSamplesRequest* request) {
  return ReadSubmission(Bytes(text), request);
}

TEST(SubmissionTest, IsReadAsItWasWritten) {
  v1::SubmitSamplesRequest request;
  request.set_run_id("run");
  request.set_complete(true);
  v1::Sample* sample = request.add_samples();
  sample->set_sample_id("a");
  sample->set_context(std::string(100'000, 'x'));
  sample->add_answers("yes");
  (*sample->mutable_fields())["name"] = "value";
  sample->add_messages()->set_role("user");
  request.add_samples();
  v1::SubmitSamplesRequest read;
  ASSERT_TRUE(Read(request.SerializeAsString(), &read).ok());
  EXPECT_EQ(read.SerializeAsString(), request.SerializeAsString());
}

TEST(SubmissionTest, NothingIsAnEmptyRequest) {
  v1::SubmitSamplesRequest read;
  EXPECT_TRUE(Read("", &read).ok());
  EXPECT_EQ(read.samples_size(), 0);
}

TEST(SubmissionTest, EntriesUpToTheLimit) {
  v1::SubmitSamplesRequest request;
  v1::Sample* sample = request.add_samples();
  for (int64_t i = 1; i < kMaxEntriesPerCall; ++i) sample->add_answers();
  v1::SubmitSamplesRequest read;
  EXPECT_TRUE(Read(request.SerializeAsString(), &read).ok());
  sample->add_answers();
  EXPECT_TRUE(
      absl::IsInvalidArgument(Read(request.SerializeAsString(), &read)));
}

TEST(SubmissionTest, AMillionEmptySamplesAreNotTakenApart) {
  std::string text;
  for (int i = 0; i < 1'000'000; ++i) text += std::string("\x12\x00", 2);
  v1::SubmitSamplesRequest read;
  const absl::Status status = Read(text, &read);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(),
            "samples: have more than 65536 entries, those of their lists "
            "counted; at most 64 samples a call");
  EXPECT_EQ(read.samples_size(), 0);
}

TEST(SubmissionTest, WhatIsNoRequestIsAnError) {
  v1::SubmitSamplesRequest request;
  v1::Sample* sample = request.add_samples();
  sample->set_sample_id("a");
  sample->add_messages()->set_role("user");
  const std::string whole = request.SerializeAsString();
  v1::SubmitSamplesRequest read;
  for (size_t length = 1; length < whole.size(); ++length)
    EXPECT_TRUE(absl::IsInvalidArgument(Read(whole.substr(0, length), &read)))
        << length;
  for (const char* text : {"\x12\x7F\x01", "\xFF", "\x0B", "\x12\x02\x0C\x0C"})
    EXPECT_TRUE(absl::IsInvalidArgument(Read(text, &read))) << text;
}

}  // namespace
}  // namespace kvrecall
