#include "server/runner/prompt_builder.h"

#include <span>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/longbench/prompt.h"

namespace kvrecall {
namespace {

absl::StatusOr<std::string> FillPrompt(const Sample& sample, const Task& task,
                                       const RunConfig& config) {
  if (task.name != kCustomTask) return FillTemplate(task, sample);
  const std::string_view own = config.prompt_template;
  return FillOwnTemplate(own.empty() ? task.prompt_template : own, sample);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PromptBuilder>> PromptBuilder::Load(
    const std::string& model_directory) {
  std::unique_ptr<PromptBuilder> builder(new PromptBuilder());
  ASSIGN_OR_RETURN(builder->tokenizer_, Tokenizer::Load(model_directory));
  builder->own_template_ =
      ChatTemplate::Load(model_directory, ChatTemplateMode::kAuto);
  builder->plain_chatml_ =
      ChatTemplate::Load(model_directory, ChatTemplateMode::kChatMl);
  return builder;
}

absl::StatusOr<const ChatTemplate*> PromptBuilder::TemplateFor(
    const Task& task, const std::string& mode_name) const {
  ASSIGN_OR_RETURN(const ChatTemplateMode mode,
                   ParseChatTemplateMode(mode_name));
  if (!task.chat || mode == ChatTemplateMode::kNone) return nullptr;
  const absl::StatusOr<ChatTemplate>& chosen =
      mode == ChatTemplateMode::kAuto ? own_template_ : plain_chatml_;
  if (!chosen.ok()) return chosen.status();
  return &*chosen;
}

absl::StatusOr<std::vector<int64_t>> PromptBuilder::BuildForced(
    const Sample& sample, const RunConfig& config) const {
  constexpr EncodeOptions kPlain = {.add_special_tokens = false};
  switch (config.force) {
    case Force::kNone:
      break;
    case Force::kGold:
      if (sample.answers.empty())
        return absl::InvalidArgumentError("the sample has no answer to force");
      return tokenizer_->Encode(sample.answers.front(), kPlain);
    case Force::kText:
      if (!sample.forced_text)
        return absl::InvalidArgumentError("the sample has no forced_text");
      return tokenizer_->Encode(*sample.forced_text, kPlain);
  }
  return std::vector<int64_t>();
}

absl::StatusOr<std::string> PromptBuilder::DescribeChatTemplate(
    const Task& task, const std::string& mode) const {
  ASSIGN_OR_RETURN(const ChatTemplate* chat, TemplateFor(task, mode));
  if (chat == nullptr) return std::string("none");
  return absl::StrCat(chat->name(), " ", chat->digest());
}

absl::StatusOr<Prompt> PromptBuilder::Build(const Sample& sample,
                                            const Task& task,
                                            const RunConfig& config) const {
  ASSIGN_OR_RETURN(const ChatTemplate* chat,
                   TemplateFor(task, config.chat_template));
  if (!sample.messages.empty()) return BuildChat(sample, chat, config);
  ASSIGN_OR_RETURN(std::string filled, FillPrompt(sample, task, config));
  ASSIGN_OR_RETURN(
      TruncatedPrompt truncated,
      TruncateMiddle(
          std::move(filled), config.max_prompt_tokens,
          [this](std::string_view text) { return tokenizer_->Encode(text); },
          [this](std::span<const int64_t> ids) {
            return tokenizer_->Decode(ids, /*skip_special_tokens=*/true);
          }));
  Prompt prompt;
  prompt.raw_tokens = truncated.raw_tokens;
  prompt.truncated = truncated.truncated;
  prompt.text = chat == nullptr ? std::move(truncated.text)
                                : chat->Render(truncated.text);
  return Tokenized(std::move(prompt), chat);
}

absl::StatusOr<Prompt> PromptBuilder::BuildChat(const Sample& sample,
                                                const ChatTemplate* chat,
                                                const RunConfig& config) const {
  if (chat == nullptr)
    return absl::InvalidArgumentError(
        "the sample is a chat, which needs a chat template; the run has none");
  RETURN_IF_ERROR(CheckMessages(sample.messages));
  Prompt prompt;
  for (const ChatMessage& message : sample.messages)
    prompt.raw_tokens += std::ssize(tokenizer_->Encode(message.content));
  prompt.text = chat->RenderChat(sample.messages);
  ASSIGN_OR_RETURN(prompt, Tokenized(std::move(prompt), chat));
  if (std::ssize(prompt.tokens) > config.max_prompt_tokens)
    return absl::OutOfRangeError(absl::StrCat(
        "the chat has ", prompt.tokens.size(), " tokens and the limit is ",
        config.max_prompt_tokens, "; a chat is not truncated"));
  return prompt;
}

absl::StatusOr<Prompt> PromptBuilder::Tokenized(
    Prompt prompt, const ChatTemplate* chat) const {
  // A chat template writes its own special tokens; without one the tokenizer
  // adds those that it begins every text with.
  EncodeOptions options;
  options.add_special_tokens = chat == nullptr;
  prompt.tokens = tokenizer_->Encode(prompt.text, options);
  if (prompt.tokens.empty())
    return absl::InvalidArgumentError("the prompt has no tokens");
  return prompt;
}

}  // namespace kvrecall
