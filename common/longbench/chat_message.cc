#include "common/longbench/chat_message.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"

namespace kvrecall {
namespace {

absl::Status Wrong(size_t index, const std::string& what) {
  return absl::InvalidArgumentError(
      absl::StrCat("message ", index + 1, " ", what));
}

}  // namespace

absl::Status CheckMessages(const std::vector<ChatMessage>& messages) {
  if (messages.empty())
    return absl::InvalidArgumentError("the chat has no messages");
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role != "system" && role != "user" && role != "assistant")
      return Wrong(i, absl::StrCat("has the role '", OneLine(role),
                                   "'; expected system, user or assistant"));
    if (role == "system" && i > 0)
      return Wrong(i, "is a system prompt; only the first may be one");
  }
  if (messages.back().role != "user")
    return Wrong(messages.size() - 1,
                 absl::StrCat("is the last and has the role '",
                              OneLine(messages.back().role),
                              "'; the model answers a user's"));
  return absl::OkStatus();
}

}  // namespace kvrecall
