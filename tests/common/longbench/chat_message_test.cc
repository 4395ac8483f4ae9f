#include "common/longbench/chat_message.h"

#include <string>

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

std::string Complaint(const std::vector<ChatMessage>& messages) {
  const absl::Status status = CheckMessages(messages);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

TEST(CheckMessagesTest, AChatEndsWithAUsersWord) {
  EXPECT_TRUE(CheckMessages({{"user", "Hello"}}).ok());
  EXPECT_TRUE(
      CheckMessages({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}).ok());
  EXPECT_EQ(Complaint({{"user", "a"}, {"assistant", "b"}}),
            "message 2 is the last and has the role 'assistant'; the model "
            "answers a user's");
  EXPECT_EQ(Complaint({{"system", "a"}}),
            "message 1 is the last and has the role 'system'; the model "
            "answers a user's");
}

TEST(CheckMessagesTest, OnlyTheFirstMayBeASystemPrompt) {
  EXPECT_TRUE(CheckMessages({{"system", "Be brief."}, {"user", "a"}}).ok());
  EXPECT_EQ(Complaint({{"user", "a"}, {"system", "b"}, {"user", "c"}}),
            "message 2 is a system prompt; only the first may be one");
  EXPECT_EQ(Complaint({{"system", "a"}, {"system", "b"}, {"user", "c"}}),
            "message 2 is a system prompt; only the first may be one");
}

TEST(CheckMessagesTest, OtherRolesAreNamed) {
  for (const char* role : {"tool", "User", "", "user "}) {
    EXPECT_EQ(Complaint({{"user", "a"}, {role, "b"}, {"user", "c"}}),
              "message 2 has the role '" + std::string(role) +
                  "'; expected system, user or assistant");
  }
}

TEST(CheckMessagesTest, NoMessageIsNoChat) {
  EXPECT_EQ(Complaint({}), "the chat has no messages");
}

// Templates of some models want users and assistants by turns; ChatML takes
// any order, and a message may be empty.
TEST(CheckMessagesTest, TurnsMayRepeatAndBeEmpty) {
  EXPECT_TRUE(CheckMessages({{"assistant", "Hello"},
                             {"assistant", ""},
                             {"user", ""},
                             {"user", "c"}})
                  .ok());
}

}  // namespace
}  // namespace kvrecall
