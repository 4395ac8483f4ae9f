#include "client/study.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/client/fake_servers.h"
#include "tests/common/longbench/question_samples.h"

namespace kvrecall {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class StudyTest : public testing::Test {
 protected:
  std::vector<StudyPart> Divide(int samples) {
    const auto servers = ConnectAll(servers_.choice());
    EXPECT_TRUE(servers.ok()) << servers.status();
    auto parts = DivideStudy(*servers, QuestionSamples(samples));
    EXPECT_TRUE(parts.ok()) << parts.status();
    return parts.ok() ? *std::move(parts) : std::vector<StudyPart>();
  }
  absl::Status Create(std::vector<StudyPart>& parts) {
    return CreateRuns(parts, "request", servers_.at(0).script().run.config,
                      true, absl::InfiniteDuration());
  }
  int Sent(size_t server) {
    int samples = 0;
    for (const auto& call : servers_.at(server).script().submits)
      samples += call.samples_size();
    return samples;
  }

  FakeServers servers_;
};

TEST_F(StudyTest, EachServerGetsItsPartAndTheyAreAllOfIt) {
  for (const char* name : {"a", "b", "c"}) servers_.Add(MakePart(name, 1, 1));
  std::vector<StudyPart> parts = Divide(60);
  ASSERT_EQ(parts.size(), 3u);
  std::set<std::string> seen;
  for (const StudyPart& part : parts)
    for (const Sample& sample : part.samples) seen.insert(sample.id);
  EXPECT_EQ(seen.size(), 60u);
  ASSERT_TRUE(Create(parts).ok());
  const auto report = SubmitParts(
      parts, [](std::string_view) {}, SubmitPolicy());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->accepted, 60);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(Sent(i), std::ssize(parts[i].samples));
    EXPECT_EQ(parts[i].run.samples_submitted, std::ssize(parts[i].samples));
    EXPECT_TRUE(parts[i].run.complete);
    EXPECT_EQ(servers_.at(i).script().creates[0].request_id(), "request");
    EXPECT_EQ(servers_.at(i).script().submits[0].run_id(), parts[i].run.run_id);
  }
}

TEST_F(StudyTest, AServerWithoutSamplesGetsNoRun) {
  for (const char* name : {"a", "b", "c"}) servers_.Add(MakePart(name, 1, 1));
  std::vector<StudyPart> parts = Divide(1);
  ASSERT_EQ(parts.size(), 1u);
  ASSERT_TRUE(Create(parts).ok());
  size_t creates = 0;
  for (size_t i = 0; i < 3; ++i)
    creates += servers_.at(i).script().creates.size();
  EXPECT_EQ(creates, 1u);
}

TEST_F(StudyTest, AServerThatIsAwayIsToldBeforeAnythingIsMade) {
  servers_.Add(MakePart("a", 1, 1));
  ServerChoice choice = servers_.choice();
  choice.address += ",127.0.0.1:1";
  const auto servers = ConnectAll(choice);
  ASSERT_TRUE(servers.ok()) << servers.status();
  const absl::Status away = DivideStudy(*servers, QuestionSamples(9)).status();
  EXPECT_TRUE(absl::IsUnavailable(away)) << away;
  EXPECT_THAT(std::string(away.message()), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(servers_.at(0).script().creates, IsEmpty());
}

TEST_F(StudyTest, ServersThatWouldNotComputeAlikeAreRefusedWithTheDifference) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript other = MakePart("b", 1, 1);
  other.run.provenance.kernels = "other";
  servers_.Add(other);
  std::vector<StudyPart> parts = Divide(40);
  const absl::Status status = Create(parts);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("differ in kernels"));
  CancelRuns(parts);
  EXPECT_EQ(servers_.at(0).script().cancels, 1);
  EXPECT_EQ(servers_.at(1).script().cancels, 1);
}

TEST_F(StudyTest, WhereOneTakesNothingItsErrorIsTold) {
  servers_.Add(MakePart("a", 1, 1));
  FakeScript away = MakePart("b", 1, 1);
  away.unavailable_submits = 1000;
  servers_.Add(away);
  std::vector<StudyPart> parts = Divide(40);
  ASSERT_TRUE(Create(parts).ok());
  std::vector<std::string> lines;
  const auto report = SubmitParts(
      parts, [&](std::string_view line) { lines.emplace_back(line); },
      {.attempts = 2, .first_pause = absl::Milliseconds(1)});
  EXPECT_TRUE(absl::IsUnavailable(report.status())) << report.status();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0],
              HasSubstr(servers_.at(1).address() + ": cannot submit"));
  EXPECT_GT(Sent(0), 0);
}

}  // namespace
}  // namespace kvrecall
