#pragma once

// The chat template around one user message. There is no Jinja interpreter
// here: a model's template is accepted only if, for one user message without
// tools, it takes branches that are known word for word and what it puts out
// is ChatML, with or without a system prompt of its own (Qwen 1.5, 2, 2.5 and
// plain ChatML). Plain values; thread-safe once loaded.
//
// A message that spells a special token, such as <|im_end|>, keeps it: the
// tokenizer reads it as that token, as it does behind `transformers`.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/chat_message.h"

namespace kvrecall {

enum class ChatTemplateMode {
  kAuto,    // the model's own
  kNone,    // the message as it is
  kChatMl,  // ChatML without a system prompt, whatever the model says
};

// "auto", "none" or "chatml". InvalidArgument: none of them.
absl::StatusOr<ChatTemplateMode> ParseChatTemplateMode(std::string_view text);

class ChatTemplate {
 public:
  // Reads chat_template.jinja in the model's directory if there is one, else
  // `chat_template` of tokenizer_config.json; only with kAuto. NotFound: there
  // is no template. InvalidArgument: the file is malformed. Unimplemented: the
  // template is not known. All name the file and the way out.
  static absl::StatusOr<ChatTemplate> Load(const std::string& model_directory,
                                           ChatTemplateMode mode);

  // From a template's text. Unimplemented: it is not known; names where it
  // left the known paths.
  static absl::StatusOr<ChatTemplate> Recognize(std::string_view source);

  // The text to tokenise, without special tokens added: system prompt, user
  // message, and the start of the assistant's turn.
  std::string Render(std::string_view user_content) const;

  // The same for a chat that CheckMessages lets pass: ChatML, message by
  // message, with the template's own system prompt where the chat has none. It
  // is what a template that Recognize took makes of plain messages.
  std::string RenderChat(const std::vector<ChatMessage>& messages) const;

  // "none", "chatml", or "chatml+system" if there is a system prompt.
  const std::string& name() const { return name_; }
  const std::string& system_prompt() const { return system_prompt_; }
  // SHA-256 of the template's text, lower-case hexadecimal; with kNone and
  // kChatMl, of a text that this program fixes.
  const std::string& digest() const { return digest_; }

 private:
  ChatTemplate() = default;

  std::string name_;
  std::string system_prompt_;
  std::string before_;
  std::string after_;
  std::string digest_;
};

}  // namespace kvrecall
