#include "client/server_target.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ServerTargetTest : public ::testing::Test {
 protected:
  ServerTargetTest() {
    std::filesystem::create_directories(folder_);
    choice_.address = "gpu1.lab:50551";
  }
  ~ServerTargetTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  std::string WritePem(const std::string& name, const std::string& kind) {
    return Write(name, "-----BEGIN " + kind + "-----\nAA==\n-----END " + kind +
                           "-----\n");
  }

  const std::string folder_ = ::testing::TempDir() + "/server_target";
  ServerChoice choice_;
};

TEST_F(ServerTargetTest, SeveralAreNamedByCommas) {
  const auto one = ServerAddresses("gpu1");
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(*one, testing::ElementsAre("gpu1:50551"));
  const auto several = ServerAddresses("gpu1, gpu2:7,unix:/tmp/s");
  ASSERT_TRUE(several.ok()) << several.status();
  EXPECT_THAT(*several,
              testing::ElementsAre("gpu1:50551", "gpu2:7", "unix:/tmp/s"));
  for (const char* given : {"", "gpu1,", ",", "gpu1,,gpu2", "gpu1,gpu1:50551"})
    EXPECT_TRUE(absl::IsInvalidArgument(ServerAddresses(given).status()))
        << given;
}

TEST_F(ServerTargetTest, SeveralAreNoTarget) {
  choice_.address = "gpu1:50551,gpu2:50551";
  const absl::Status status = ReadTarget(choice_).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("one server at a time, and --server names several: "
                        "gpu1:50551,gpu2:50551"));
}

TEST_F(ServerTargetTest, WithoutAnAuthorityItIsPlaintextAndHasNoToken) {
  const auto target = ReadTarget(choice_);
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_FALSE(target->is_encrypted);
  EXPECT_EQ(target->token, "");
}

TEST_F(ServerTargetTest, ATokenGoesOverNoNetworkInClear) {
  choice_.token = "kvr_secret";
  const absl::Status refused = ReadTarget(choice_).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("gpu1.lab:50551 in clear"), HasSubstr("--ca"),
                    HasSubstr("ssh -L"), Not(HasSubstr("kvr_secret"))));
  choice_.address = "localhost:50551";
  EXPECT_EQ(ReadTarget(choice_)->token, "kvr_secret");
  choice_.address = "gpu1.lab:50551";
  choice_.authority = WritePem("ca.crt", "CERTIFICATE");
  const auto target = ReadTarget(choice_);
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_TRUE(target->is_encrypted);
  EXPECT_EQ(target->token, "kvr_secret");
}

TEST_F(ServerTargetTest, ATokenFileComesBeforeTheVariable) {
  choice_.address = "localhost:1";
  choice_.token = "variable";
  choice_.token_file = Write("token", "kvr_file\n");
  EXPECT_EQ(ReadTarget(choice_)->token, "kvr_file");
}

TEST_F(ServerTargetTest, FilesThatAreNotWhatTheyShouldBeAreNamed) {
  choice_.authority = Write("ca.crt", "hello");
  EXPECT_THAT(std::string(ReadTarget(choice_).status().message()),
              HasSubstr("ca.crt: has no certificate in PEM"));
  choice_.authority = folder_ + "/none";
  EXPECT_EQ(ReadTarget(choice_).status().code(), absl::StatusCode::kNotFound);
  choice_.authority = WritePem("ca.crt", "CERTIFICATE");
  choice_.token_file = Write("token", " \n");
  EXPECT_THAT(std::string(ReadTarget(choice_).status().message()),
              HasSubstr("token: has no token"));
  choice_.token_file = Write("token", "two words\n");
  EXPECT_EQ(ReadTarget(choice_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ServerTargetTest, SystemMeansTheAuthoritiesOfThisMachine) {
  const std::string path = WritePem("system.crt", "CERTIFICATE");
  const char* const before = std::getenv("SSL_CERT_FILE");
  const std::string kept = before == nullptr ? "" : before;
  setenv("SSL_CERT_FILE", path.c_str(), /*overwrite=*/1);
  choice_.authority = "system";
  const auto target = ReadTarget(choice_);
  if (before == nullptr) {
    unsetenv("SSL_CERT_FILE");
  } else {
    setenv("SSL_CERT_FILE", kept.c_str(), 1);
  }
  ASSERT_TRUE(target.ok()) << target.status();
  EXPECT_TRUE(target->is_encrypted);
  EXPECT_THAT(target->authorities, HasSubstr("BEGIN CERTIFICATE"));
}

TEST_F(ServerTargetTest, ACertificateComesWithItsKeyAndEncryption) {
  choice_.certificate = WritePem("me.crt", "CERTIFICATE");
  EXPECT_THAT(std::string(ReadTarget(choice_).status().message()),
              HasSubstr("--cert and --key"));
  choice_.key = WritePem("me.key", "PRIVATE KEY");
  EXPECT_THAT(std::string(ReadTarget(choice_).status().message()),
              HasSubstr("--cert needs --ca"));
  choice_.authority = WritePem("ca.crt", "CERTIFICATE");
  EXPECT_TRUE(ReadTarget(choice_).ok());
}

}  // namespace
}  // namespace kvrecall
