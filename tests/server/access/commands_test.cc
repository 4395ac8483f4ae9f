#include "server/access/commands.h"

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/read_file.h"
#include "server/access/access_folder.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

namespace fs = std::filesystem;

class AccessCommandsTest : public ::testing::Test {
 protected:
  AccessCommandsTest() { fs::remove_all(root_); }
  ~AccessCommandsTest() override { fs::remove_all(root_); }

  absl::Status Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "kvrecall-server");
    arguments.insert(arguments.end(), {"--access", folder_.path()});
    std::vector<const char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(argument.c_str());
    std::ostringstream out;
    const int argc = static_cast<int>(argv.size());
    EXPECT_TRUE(IsAccessCommand(argc, argv.data()));
    const absl::Status status = RunAccessCommand(argc, argv.data(), out);
    out_ = out.str();
    return status;
  }

  static fs::perms PermissionsOf(const std::string& path) {
    return fs::status(path).permissions();
  }

  const std::string root_ = ::testing::TempDir() + "/access_commands";
  const AccessFolder folder_{root_ + "/deep/access"};
  std::string out_;
};

TEST_F(AccessCommandsTest, InitMakesAllThatAServerNeeds) {
  ASSERT_TRUE(Run({"init", "--host", "gpu1.lab"}).ok());
  EXPECT_THAT(out_, AllOf(HasSubstr("for gpu1.lab, "), HasSubstr("localhost"),
                          HasSubstr("kvr_")));
  EXPECT_EQ(PermissionsOf(folder_.path()), fs::perms::owner_all);
  const auto mine = fs::perms::owner_read | fs::perms::owner_write;
  for (const std::string& path :
       {folder_.path() + "/ca.key", folder_.key(), folder_.tokens()})
    EXPECT_EQ(PermissionsOf(path), mine) << path;
  const auto tokens = folder_.ReadTokens();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  // The token that was shown is the one that is known, and is nowhere else.
  const std::string token = out_.substr(out_.find("kvr_"), 47);
  ASSERT_NE(tokens->Find(token), nullptr);
  EXPECT_EQ(tokens->Find(token)->scope, AccessScope::kAdmin);
  EXPECT_THAT(*ReadWholeFile(folder_.tokens()), Not(HasSubstr(token)));
}

TEST_F(AccessCommandsTest, InitLeavesAnAuthorityThatThereIs) {
  ASSERT_TRUE(Run({"init"}).ok());
  const std::string authority = *ReadWholeFile(folder_.authority());
  const std::string certificate = *ReadWholeFile(folder_.certificate());
  EXPECT_EQ(Run({"init"}).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*ReadWholeFile(folder_.authority()), authority);
  ASSERT_TRUE(Run({"init", "--renew", "--host", "new.lab"}).ok());
  EXPECT_EQ(*ReadWholeFile(folder_.authority()), authority);
  EXPECT_NE(*ReadWholeFile(folder_.certificate()), certificate);
  EXPECT_THAT(out_, HasSubstr("new.lab"));
}

TEST_F(AccessCommandsTest, AWrongHostLeavesNothingBehind) {
  EXPECT_EQ(Run({"init", "--host", "a b"}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(fs::exists(folder_.authority()));
  EXPECT_TRUE(Run({"init"}).ok());
}

TEST_F(AccessCommandsTest, TokensComeAndGo) {
  ASSERT_TRUE(Run({"init"}).ok());
  ASSERT_TRUE(Run({"token", "add", "alice"}).ok());
  EXPECT_THAT(out_, StartsWith("kvr_"));
  EXPECT_EQ(Run({"token", "add", "alice"}).code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Run({"token", "add", "a b"}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Run({"token", "add", "bob", "--scope", "all"}).code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_TRUE(Run({"token", "list"}).ok());
  EXPECT_EQ(out_, "admin admin\nalice submit\n");
  ASSERT_TRUE(Run({"token", "remove", "alice"}).ok());
  EXPECT_EQ(Run({"token", "remove", "alice"}).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(AccessCommandsTest, AClientCertificateIsNotOverwritten) {
  ASSERT_TRUE(Run({"init"}).ok());
  const std::string prefix = root_ + "/alice";
  ASSERT_TRUE(Run({"certificate", "alice", "--out", prefix}).ok());
  EXPECT_TRUE(CheckKeyPair({*ReadWholeFile(prefix + ".crt"),
                            *ReadWholeFile(prefix + ".key")},
                           absl::Now())
                  .ok());
  EXPECT_EQ(Run({"certificate", "alice", "--out", prefix}).code(),
            absl::StatusCode::kAlreadyExists);
}

TEST_F(AccessCommandsTest, WithoutAFolderItSaysWhatIsMissing) {
  const absl::Status status = Run({"token", "list"});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_.tokens()));
}

}  // namespace
}  // namespace kvrecall
