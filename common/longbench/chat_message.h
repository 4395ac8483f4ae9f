#pragma once

// A chat that is a prompt. Plain values.

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace kvrecall {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;

  friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};

// What the model is to answer: roles as above, a system prompt only as the
// first, and the user's word the last. InvalidArgument says which message is
// wrong; also of no message at all.
absl::Status CheckMessages(const std::vector<ChatMessage>& messages);

}  // namespace kvrecall
