#include "client/data/download.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/data/http_get.h"
#include "tests/client/data_testing.h"
#include "tests/client/file_server.h"

namespace kvrecall {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// Several pieces' worth, no two of them alike.
std::string Content(int64_t bytes) {
  std::string content;
  for (int i = 0; std::ssize(content) < bytes; ++i) {
    content += std::to_string(i) + " ";
  }
  content.resize(static_cast<size_t>(bytes));
  return content;
}

class DownloadTest : public FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    setenv("no_proxy", "127.0.0.1", /*overwrite=*/1);
    script_.content = Content(300'000);
  }

  void Start() { server_ = std::make_unique<FileServer>(script_); }

  // One call of a program: the part is opened anew.
  absl::Status Fetch(const std::string& path = "/data.zip") {
    return FetchUrl(server_->Url(path));
  }
  absl::Status FetchUrl(const std::string& url) {
    absl::StatusOr<PartFile> part = PartFile::Open(part_path());
    if (!part.ok()) return part.status();
    options_.url = url;
    const DownloadHooks hooks{
        .progress =
            [&](int64_t done, int64_t total) {
              done_ = done;
              total_ = total;
            },
        .message = [&](std::string_view line) { messages_.emplace_back(line); },
        .cancelled = [&] { return done_ >= cancel_at_; },
        .pause = [&](absl::Duration pause) { pauses_.push_back(pause); }};
    return Download(options_, hooks, *part);
  }

  std::string part_path() const { return Path("a.part"); }
  std::string Got() const { return ReadFile(part_path()); }

  FileScript script_;
  std::unique_ptr<FileServer> server_;
  DownloadOptions options_;
  int64_t done_ = 0;
  int64_t total_ = 0;
  int64_t cancel_at_ = INT64_MAX;
  std::vector<std::string> messages_;
  std::vector<absl::Duration> pauses_;
};

TEST_F(DownloadTest, BringsAllBytesAndSaysHowFarItIs) {
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Got(), script_.content);
  EXPECT_EQ(done_, 300'000);
  EXPECT_EQ(total_, 300'000);
  EXPECT_THAT(messages_, IsEmpty());
  ASSERT_THAT(server_->asked(), SizeIs(1));
  EXPECT_EQ(server_->asked()[0].range, "");
  EXPECT_EQ(server_->asked()[0].if_range, "");
}

TEST_F(DownloadTest, FollowsARedirect) {
  Start();
  ASSERT_TRUE(Fetch("/moved.zip").ok());
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, ALostConnectionIsMadeAnewBehindWhatCame) {
  script_.cuts = {100'000, 50'000};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Got(), script_.content);
  const auto asked = server_->asked();
  ASSERT_THAT(asked, SizeIs(3));
  EXPECT_EQ(asked[1].range, "bytes=100000-");
  EXPECT_EQ(asked[1].if_range, "\"one\"");
  EXPECT_EQ(asked[2].range, "bytes=150000-");
  // More came each time, so the pause does not grow.
  EXPECT_THAT(pauses_, ElementsAre(absl::Seconds(1), absl::Seconds(1)));
  EXPECT_THAT(messages_[0], HasSubstr("; trying again in 1 s"));
}

TEST_F(DownloadTest, GivesUpWhereNothingMoreComes) {
  script_.cuts = {1000, 0, 0, 0, 0, 0, 0, 0};
  options_.retries = 3;
  Start();
  const absl::Status status = Fetch();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(pauses_, ElementsAre(absl::Seconds(1), absl::Seconds(2),
                                   absl::Seconds(4)));
  EXPECT_EQ(Got(), script_.content.substr(0, 1000));
}

TEST_F(DownloadTest, ALaterCallGoesOnWhereAnEarlierOneEnded) {
  script_.cuts = {120'000};
  options_.retries = 0;
  Start();
  EXPECT_EQ(Fetch().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Got().size(), 120'000u);
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Got(), script_.content);
  EXPECT_EQ(server_->asked()[1].range, "bytes=120000-");
  EXPECT_THAT(messages_, IsEmpty());
}

TEST_F(DownloadTest, LastModifiedStandsForAnETagThatIsWeakOrNone) {
  script_.etag = "W/\"weak\"";
  script_.last_modified = "Sat, 01 Jun 2024 10:00:00 GMT";
  script_.cuts = {1000};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(server_->asked()[1].if_range, script_.last_modified);
  EXPECT_EQ(Got(), script_.content);
}

// If-Range has vouched for it.
TEST_F(DownloadTest, APartNeedNotNameItsContentAgain) {
  script_.has_bare_parts = true;
  script_.cuts = {1000, 1000};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(server_->asked()[2].range, "bytes=2000-");
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, WithoutAnyValidatorItStartsOver) {
  script_.etag = "";
  script_.cuts = {1000};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(server_->asked()[1].range, "");
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, AServerThatKnowsNoRangesStartsOver) {
  script_.ranges = false;
  script_.cuts = {200'000, 100'000};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Got(), script_.content);
  EXPECT_THAT(server_->asked(), SizeIs(3));
  EXPECT_THAT(messages_, testing::Contains("the server sends no parts of "
                                           "files; starting over"));
}

TEST_F(DownloadTest, AServerThatNeverGetsFurtherIsGivenUp) {
  script_.ranges = false;
  script_.cuts = {500, 500, 500, 500, 500, 500};
  options_.retries = 2;
  Start();
  EXPECT_EQ(Fetch().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(server_->asked(), SizeIs(3));
}

class ChangedFileTest : public DownloadTest {
 protected:
  // A part of the first content, then a server that has the second.
  void FetchAcrossAChange() {
    script_.cuts = {120'000};
    options_.retries = 0;
    Start();
    EXPECT_FALSE(Fetch().ok());
    script_.cuts.clear();
    script_.content = "other " + Content(250'000);
    script_.etag = "\"two\"";
    server_->SetScript(script_);
    const absl::Status status = Fetch();
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(Got(), script_.content);
    EXPECT_THAT(messages_, ElementsAre("the file on the server has changed; "
                                       "starting over"));
  }
};

TEST_F(ChangedFileTest, IsTakenFromItsStart) { FetchAcrossAChange(); }

// A part of the new file must not be put behind the old one's.
TEST_F(ChangedFileTest, IsNoticedWhereTheServerDoesNotCare) {
  script_.ignores_if_range = true;
  FetchAcrossAChange();
}

TEST_F(DownloadTest, APartOfAnotherUrlIsOfNoUse) {
  script_.cuts = {1000};
  options_.retries = 0;
  Start();
  EXPECT_FALSE(Fetch("/moved.zip").ok());
  ASSERT_TRUE(Fetch("/data.zip").ok());
  EXPECT_EQ(server_->asked()[1].range, "");
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, WhatIsWholeIsNotSentAgain) {
  Start();
  ASSERT_TRUE(Fetch().ok());
  const absl::Status again = Fetch();
  ASSERT_TRUE(again.ok()) << again;
  EXPECT_EQ(server_->asked()[1].range, "bytes=300000-");  // answered with 416
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, AShorterFileThanThePartStartsOver) {
  Start();
  ASSERT_TRUE(Fetch().ok());
  script_.content = "short";
  server_->SetScript(script_);  // under the same ETag
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Got(), "short");
}

TEST_F(DownloadTest, ABusyServerIsAskedAgain) {
  script_.statuses = {503, 429};
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(pauses_, ElementsAre(absl::Seconds(1), absl::Seconds(2)));
  EXPECT_THAT(messages_[0], HasSubstr("HTTP status 503"));
}

TEST_F(DownloadTest, ARefusalIsFinal) {
  script_.statuses = {403};
  Start();
  const absl::Status status = Fetch();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "the server answered with HTTP status 403");
  EXPECT_EQ(Fetch("/none").code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Got(), IsEmpty());
  EXPECT_THAT(pauses_, IsEmpty());
}

TEST_F(DownloadTest, AnAnswerThatStandsStillIsLost) {
  script_.cuts = {1000};
  script_.stalls = {-1, 0};
  options_.stall_timeout = absl::Seconds(1);
  Start();
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(server_->asked(), SizeIs(3));
  EXPECT_EQ(server_->asked()[2].range, "bytes=1000-");
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, AnInterruptLeavesThePartToGoOnFrom) {
  script_.stalls = {1000};
  cancel_at_ = 1000;
  Start();
  EXPECT_EQ(Fetch().code(), absl::StatusCode::kCancelled);
  cancel_at_ = INT64_MAX;
  const absl::Status status = Fetch();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(server_->asked()[1].range, "bytes=1000-");
  EXPECT_EQ(Got(), script_.content);
}

TEST_F(DownloadTest, AnInterruptEndsThePauseToo) {
  script_.cuts = {1000};
  Start();
  cancel_at_ = 1000;
  EXPECT_EQ(Fetch().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(server_->asked(), SizeIs(1));
}

TEST_F(DownloadTest, NobodyThereIsSaidAtOnce) {
  Start();
  const std::string url = server_->Url();
  server_.reset();
  const absl::Status status = FetchUrl(url);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("connect"));
  EXPECT_THAT(pauses_, IsEmpty());
}

TEST_F(DownloadTest, AUrlThatIsNoneOfOursIsTheUsersError) {
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/a", "http://"})
    EXPECT_EQ(FetchUrl(url).code(), absl::StatusCode::kInvalidArgument) << url;
}

}  // namespace
}  // namespace kvrecall
