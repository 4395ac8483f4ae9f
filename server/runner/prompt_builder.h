#pragma once

// From a raw sample to the tokens that the model reads: the task's template,
// LongBench's truncation, the chat template, the tokenizer; or a chat as it is.
// Immutable; thread-safe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/jsonl.h"
#include "common/longbench/task.h"
#include "common/record/run_config.h"
#include "server/engine/tokenizer/chat_template.h"
#include "server/engine/tokenizer/tokenizer.h"

namespace kvrecall {

struct Prompt {
  std::string text;             // what was tokenised
  std::vector<int64_t> tokens;  // P of them
  int64_t raw_tokens = 0;       // before truncation, without chat template
  bool truncated = false;
};

class PromptBuilder {
 public:
  // Reads tokenizer.json and the chat template of a model directory. A chat
  // template that is not understood is no error here: it is one for the runs
  // that need it.
  static absl::StatusOr<std::unique_ptr<PromptBuilder>> Load(
      const std::string& model_directory);

  // `config` complete; `task` its task. InvalidArgument: the sample lacks what
  // the template names, or is a chat and there is no chat template. OutOfRange:
  // a chat above the run's limit.
  absl::StatusOr<Prompt> Build(const Sample& sample, const Task& task,
                               const RunConfig& config) const;

  // The tokens of a text that is forced, as they stand behind the prompt: the
  // sample's first answer or its forced_text, without the EOS that ends it.
  // None where the run forces nothing. InvalidArgument: the sample has no such
  // text.
  absl::StatusOr<std::vector<int64_t>> BuildForced(
      const Sample& sample, const RunConfig& config) const;

  // What a run records of its chat template: name and digest, or "none" where
  // the task or the run uses none. InvalidArgument: an unknown mode, or a
  // template of the model that is not understood.
  absl::StatusOr<std::string> DescribeChatTemplate(
      const Task& task, const std::string& mode) const;

  const Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  PromptBuilder() = default;
  absl::StatusOr<Prompt> BuildChat(const Sample& sample,
                                   const ChatTemplate* chat,
                                   const RunConfig& config) const;
  // With its tokens; `chat` null: its text is no chat template's.
  absl::StatusOr<Prompt> Tokenized(Prompt prompt,
                                   const ChatTemplate* chat) const;
  // Null where the prompt goes to the model as it is.
  absl::StatusOr<const ChatTemplate*> TemplateFor(
      const Task& task, const std::string& mode_name) const;

  std::unique_ptr<const Tokenizer> tokenizer_;
  absl::StatusOr<ChatTemplate> own_template_ = absl::UnknownError("not loaded");
  absl::StatusOr<ChatTemplate> plain_chatml_ = absl::UnknownError("not loaded");
};

}  // namespace kvrecall
