#include "client/submitter.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_server.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

std::vector<Sample> MakeSamples(int count, size_t context_bytes) {
  std::vector<Sample> samples(count);
  for (int i = 0; i < count; ++i) {
    samples[i].id = absl::StrCat("s", i + 1);
    samples[i].context = std::string(context_bytes, 'x');
    samples[i].answers = {"a"};
  }
  return samples;
}

TEST(MakeBatchesTest, HoldsAtMostTheGivenNumberAndEndsTheRun) {
  const auto batches =
      MakeBatches(MakeSamples(10, 5), {.samples = 4, .bytes = 1 << 20});
  ASSERT_TRUE(batches.ok());
  ASSERT_EQ(batches->size(), 3u);
  EXPECT_EQ((*batches)[0].samples_size(), 4);
  EXPECT_EQ((*batches)[2].samples_size(), 2);
  EXPECT_EQ((*batches)[2].samples(1).sample_id(), "s10");
  EXPECT_FALSE((*batches)[0].complete());
  EXPECT_TRUE((*batches)[2].complete());
}

TEST(MakeBatchesTest, NoEncodedRequestExceedsTheBytes) {
  for (size_t size : {1, 100, 900, 5000, 8900}) {
    auto batches =
        MakeBatches(MakeSamples(40, size), {.samples = 64, .bytes = 10'000});
    ASSERT_TRUE(batches.ok());
    int samples = 0;
    for (auto& batch : *batches) {
      batch.set_run_id(std::string(64, 'r'));
      EXPECT_LE(batch.ByteSizeLong(), 10'000u);
      samples += batch.samples_size();
    }
    EXPECT_EQ(samples, 40);
  }
}

TEST(MakeBatchesTest, ASampleAboveTheLimitIsNamed) {
  const auto batches =
      MakeBatches(MakeSamples(1, 20'000), {.samples = 64, .bytes = 10'000});
  EXPECT_EQ(batches.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(batches.status().message()),
              HasSubstr("sample s1 has 2001"));
}

TEST(MakeBatchesTest, NoSamplesStillEndTheRun) {
  const auto batches = MakeBatches({}, {});
  ASSERT_TRUE(batches.ok());
  ASSERT_EQ(batches->size(), 1u);
  EXPECT_TRUE((*batches)[0].complete());
}

SubmitPolicy Impatient(int attempts) {
  SubmitPolicy policy;
  policy.attempts = attempts;
  policy.first_pause = absl::Milliseconds(1);
  return policy;
}

TEST(SubmitBatchesTest, AWaitForAFullQueueCanBeStopped) {
  FakeScript script = MakeScript(3, 1);
  script.room_per_call = 0;
  const FakeServer server(script);
  const Connection connection(server.address());
  SubmitPolicy policy = Impatient(1);
  policy.stopped = [] { return true; };
  const auto report = SubmitBatches(
      connection, "run-1", *MakeBatches(MakeSamples(1, 5), {}),
      [](std::string_view) {}, policy);
  EXPECT_EQ(report.status().code(), absl::StatusCode::kCancelled);
}

TEST(SubmitBatchesTest, AnUnavailableServerIsTriedAgainAndToldOfOnce) {
  FakeScript script = MakeScript(3, 1);
  script.unavailable_submits = 2;
  const FakeServer server(script);
  const Connection connection(server.address());
  std::vector<std::string> messages;
  const auto report = SubmitBatches(
      connection, "run-1",
      *MakeBatches(MakeSamples(3, 5), {.samples = 2, .bytes = 1 << 20}),
      [&](std::string_view line) { messages.emplace_back(line); },
      Impatient(5));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->accepted, 3);
  EXPECT_EQ(server.script().submits.size(), 4u);
  EXPECT_EQ(server.script().submits[0].run_id(), "run-1");
  EXPECT_THAT(messages, ElementsAre(HasSubstr("trying again")));
}

TEST(SubmitBatchesTest, GivesUpAfterTheLastAttempt) {
  FakeScript script = MakeScript(3, 1);
  script.unavailable_submits = 100;
  const FakeServer server(script);
  const Connection connection(server.address());
  const auto report = SubmitBatches(
      connection, "run-1", *MakeBatches(MakeSamples(1, 5), {}),
      [](std::string_view) {}, Impatient(3));
  EXPECT_EQ(report.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server.script().submits.size(), 3u);
}

TEST(SubmitBatchesTest, RefusedSamplesAreReportedWithTheReason) {
  FakeScript script = MakeScript(3, 1);
  script.refused_sample = "s2";
  const FakeServer server(script);
  const Connection connection(server.address());
  const auto report =
      SubmitBatches(connection, "run-1", *MakeBatches(MakeSamples(3, 5), {}),
                    [](std::string_view) {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->accepted, 2);
  EXPECT_THAT(report->refusals, ElementsAre("sample s2: context: too long"));
}

TEST(SubmitBatchesTest, WhatFindsTheQueueFullIsSentAgainUntilItIsTaken) {
  FakeScript script = MakeScript(3, 1);
  script.room_per_call = 2;
  const FakeServer server(script);
  const Connection connection(server.address());
  std::vector<std::string> messages;
  const auto report = SubmitBatches(
      connection, "run-1", *MakeBatches(MakeSamples(5, 5), {}),
      [&](std::string_view line) { messages.emplace_back(line); },
      Impatient(1));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->accepted, 5);
  EXPECT_THAT(messages, ElementsAre(HasSubstr("queue is full")));
  const auto submits = server.script().submits;
  ASSERT_EQ(submits.size(), 3u);
  EXPECT_EQ(submits[1].samples_size(), 3);
  EXPECT_EQ(submits[2].samples_size(), 1);
  EXPECT_EQ(submits[2].samples(0).sample_id(),
            submits[0].samples(4).sample_id());
  // Each says that no more follow: the server counts it with the last.
  EXPECT_TRUE(submits[2].complete());
}

TEST(NewRequestIdTest, IsARandomUuid) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = NewRequestId();
    EXPECT_THAT(id, MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                                 "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

}  // namespace
}  // namespace kvrecall
