#include "server/access/access_control.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/base/digest.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AccessControlTest : public ::testing::Test {
 protected:
  AccessControlTest() { Write("alice submit " + Sha256Hex("secret") + "\n"); }
  ~AccessControlTest() override { std::filesystem::remove(path_); }

  void Write(const std::string& text) { std::ofstream(path_) << text; }

  // Waits until a token is let in, or is not.
  static bool Becomes(const AccessControl& access, const std::string& token,
                      bool admitted) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (access.Admit("Bearer " + token, "GetRun").ok() != admitted) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  const std::string path_ = ::testing::TempDir() + "/tokens";
};

TEST_F(AccessControlTest, WithoutTokensEveryoneMayDoEverything) {
  const AccessControl access;
  const auto caller = access.Admit("", "DeleteRun");
  ASSERT_TRUE(caller.ok());
  EXPECT_EQ(caller->name, "");
  EXPECT_EQ(caller->scope, AccessScope::kAdmin);
}

TEST_F(AccessControlTest, ATokenSaysWhoCallsAndWhatHeMay) {
  const auto access = AccessControl::WithTokens(path_);
  ASSERT_TRUE(access.ok()) << access.status();
  const auto caller = (*access)->Admit("Bearer secret", "SubmitSamples");
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_EQ(caller->name, "alice");
  const absl::Status more =
      (*access)->Admit("Bearer secret", "NoSuchMethod").status();
  EXPECT_EQ(more.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(more.message()),
              HasSubstr("scope admin; that of alice has scope submit"));
}

TEST_F(AccessControlTest, WhoHasNoTokenOfOursIsNobody) {
  const auto access = AccessControl::WithTokens(path_);
  ASSERT_TRUE(access.ok()) << access.status();
  for (const char* header :
       {"", "secret", "Bearer ", "Bearer  secret", "bearer secret",
        "Basic secret", "Bearer secretx", "Bearer secre"}) {
    const absl::Status status = (*access)->Admit(header, "GetRun").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << header;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("alice")));
  }
}

TEST_F(AccessControlTest, ChangesOfTheFileCountWithoutARestart) {
  const auto access = AccessControl::WithTokens(path_, absl::Milliseconds(1));
  ASSERT_TRUE(access.ok()) << access.status();
  Write("bob read " + Sha256Hex("other") + "\n");
  EXPECT_TRUE(Becomes(**access, "other", true));
  EXPECT_TRUE(Becomes(**access, "secret", false));
}

TEST_F(AccessControlTest, AFileThatBecomesWrongChangesNothing) {
  const auto access = AccessControl::WithTokens(path_, absl::Milliseconds(1));
  ASSERT_TRUE(access.ok()) << access.status();
  Write("alice everything\n");
  // The next good one shows that the wrong one had been there to be read.
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_TRUE((*access)->Admit("Bearer secret", "GetRun").ok());
  std::filesystem::remove(path_);
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_TRUE((*access)->Admit("Bearer secret", "GetRun").ok());
  Write("bob read " + Sha256Hex("other") + "\n");
  EXPECT_TRUE(Becomes(**access, "other", true));
}

TEST_F(AccessControlTest, AFileThatIsNoneIsRefusedAtOnce) {
  Write("alice everything\n");
  const absl::Status wrong = AccessControl::WithTokens(path_).status();
  EXPECT_EQ(wrong.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.message()), HasSubstr(path_ + ": line 1:"));
  EXPECT_EQ(AccessControl::WithTokens(path_ + ".none").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace kvrecall
