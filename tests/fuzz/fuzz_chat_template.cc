// A chat template and, behind 0xFF, what a user says.

#include <string>

#include "common/longbench/unicode.h"
#include "server/engine/tokenizer/chat_template.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {

void FuzzChatTemplate(std::string_view input) {
  InputBytes bytes(input);
  const std::string_view source = bytes.Part();
  const auto chat = ChatTemplate::Recognize(source);
  if (!FirstInvalidUtf8(source)) RequireReadable(chat.status());
  if (!chat.ok()) return;
  const std::string said(bytes.Rest());
  const std::string prompt = chat->Render(said);
  Require(prompt.find("<|im_start|>user\n" + said + "<|im_end|>\n") !=
              std::string::npos,
          "ChatML has the message word for word");
  Require(chat->RenderChat({{"user", said}}) == prompt,
          "a chat of one message is that message");
}

}  // namespace kvrecall
