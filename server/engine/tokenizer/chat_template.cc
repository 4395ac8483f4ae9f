#include "server/engine/tokenizer/chat_template.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/digest.h"
#include "common/base/json_nesting.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "server/engine/tokenizer/jinja_statements.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Kind = JinjaStatement::Kind;

constexpr char kPlainChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' "
    "+ message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if "
    "add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

constexpr char kWayOut[] =
    "; --chat-template none sends prompts as they are, chatml uses plain "
    "ChatML";

// The conditions of known templates, in the spelling of ReadJinja, with their
// value for one user message, no tools and a generation prompt.
std::optional<bool> KnownCondition(std::string_view condition) {
  struct Known {
    std::string_view text;
    bool value;
  };
  static constexpr Known kKnown[] = {
      {"tools", false},
      {"add_generation_prompt", true},
      {R"(messages [ 0 ] [ "role" ] == "system")", false},
      {R"(messages [ 0 ] [ "role" ] != "system")", true},
      {R"(loop [ "first" ] and messages [ 0 ] [ "role" ] != "system")", true},
      {R"(( message [ "role" ] == "user" ) or ( message [ "role" ] == )"
       R"("system" and not loop [ "first" ] ) or ( message [ "role" ] == )"
       R"("assistant" and not message [ "tool_calls" ] ))",
       true},
  };
  for (const Known& known : kKnown)
    if (known.text == condition) return known.value;
  return std::nullopt;
}

// Follows the statements for one user message; the message is a mark in the
// text it puts out.
class Walk {
 public:
  explicit Walk(const std::vector<JinjaStatement>& statements)
      : statements_(statements) {}

  // What stands before and after the message.
  absl::StatusOr<std::pair<std::string, std::string>> Run() {
    for (const JinjaStatement& statement : statements_)
      RETURN_IF_ERROR(Step(statement));
    if (!open_.empty()) return Unknown("end of template in an open block");
    if (!after_.has_value()) return Unknown("no message content");
    return std::pair(std::move(before_), *std::move(after_));
  }

 private:
  struct Block {
    bool is_for;
    bool outer_live;  // is the block itself reached?
    bool taken;       // has a branch of this `if` been taken?
    bool live;        // is the present branch reached?
  };

  static absl::Status Unknown(const std::string& what) {
    return absl::UnimplementedError(absl::StrCat(
        "the chat template is not a known one (", OneLine(what), ")"));
  }

  bool Live() const { return open_.empty() || open_.back().live; }

  absl::Status Step(const JinjaStatement& statement) {
    if (statement.kind == Kind::kBlock) return OnBlock(statement.value);
    if (!Live()) return absl::OkStatus();
    if (statement.kind == Kind::kText)
      Put(statement.value);
    else
      return OnOutput(statement.value);
    return absl::OkStatus();
  }

  void Put(const std::string& text) {
    (after_.has_value() ? *after_ : before_) += text;
  }

  absl::Status OnOutput(const std::string& value) {
    const bool in_loop = loops_ == 1;
    if (in_loop && value == R"(message [ "role" ])") {
      Put("user");
    } else if (in_loop && value == R"(message [ "content" ])") {
      if (after_.has_value()) return Unknown("the message stands twice");
      after_ = "";
    } else {
      return Unknown(value);
    }
    return absl::OkStatus();
  }

  absl::Status OnBlock(const std::string& value) {
    if (absl::StartsWith(value, "if ")) return OnIf(value.substr(3));
    if (absl::StartsWith(value, "for ")) return OnFor(value);
    if (absl::StartsWith(value, "elif ")) return OnElif(value.substr(5));
    if (value == "else") return OnElse();
    if (value == "endif" || value == "endfor") return OnEnd(value == "endfor");
    return Live() ? Unknown(value) : absl::OkStatus();
  }

  absl::Status OnIf(const std::string& condition) {
    Block block{false, Live(), false, false};
    if (block.outer_live) {
      const auto known = KnownCondition(condition);
      if (!known.has_value()) return Unknown(condition);
      block.taken = block.live = *known;
    }
    open_.push_back(block);
    return absl::OkStatus();
  }

  absl::Status OnElif(const std::string& condition) {
    if (open_.empty() || open_.back().is_for) return Unknown("elif");
    Block& block = open_.back();
    block.live = false;
    if (!block.outer_live || block.taken) return absl::OkStatus();
    const auto known = KnownCondition(condition);
    if (!known.has_value()) return Unknown(condition);
    block.taken = block.live = *known;
    return absl::OkStatus();
  }

  absl::Status OnElse() {
    if (open_.empty() || open_.back().is_for) return Unknown("else");
    Block& block = open_.back();
    block.live = block.outer_live && !block.taken;
    block.taken = true;
    return absl::OkStatus();
  }

  absl::Status OnFor(const std::string& value) {
    const bool live = Live();
    if (live && (value != "for message in messages" || ++loops_ != 1))
      return Unknown(value);
    open_.push_back({true, live, false, live});
    return absl::OkStatus();
  }

  absl::Status OnEnd(bool is_for) {
    if (open_.empty() || open_.back().is_for != is_for)
      return Unknown("blocks do not nest");
    if (is_for && open_.back().live) loops_ = 2;  // over: no message any more
    open_.pop_back();
    return absl::OkStatus();
  }

  const std::vector<JinjaStatement>& statements_;
  std::vector<Block> open_;
  int loops_ = 0;  // 0: before the messages' loop, 1: in it, 2: past it
  std::string before_;
  std::optional<std::string> after_;
};

// The system prompt of a ChatML prefix; nothing if it is no such prefix.
std::optional<std::string> SystemPrompt(std::string_view before) {
  constexpr std::string_view kUser = "<|im_start|>user\n";
  constexpr std::string_view kSystem = "<|im_start|>system\n";
  constexpr std::string_view kEnd = "<|im_end|>\n";
  if (!before.ends_with(kUser)) return std::nullopt;
  before.remove_suffix(kUser.size());
  if (before.empty()) return "";
  if (!before.starts_with(kSystem) || !before.ends_with(kEnd) ||
      before.size() <= kSystem.size() + kEnd.size())
    return std::nullopt;
  before.remove_prefix(kSystem.size());
  before.remove_suffix(kEnd.size());
  if (before.find("<|im_") != std::string_view::npos) return std::nullopt;
  return std::string(before);
}

std::optional<std::string> ReadIfThere(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string{std::istreambuf_iterator<char>(file), {}};
}

// `chat_template` of a tokenizer_config.json: a string, or a list of named
// templates of which "default" counts.
absl::StatusOr<std::string> FromConfig(const std::string& text) {
  RETURN_IF_ERROR(CheckNesting(text));
  const Json config = Json::parse(text, nullptr, false);
  if (!config.is_object())
    return absl::InvalidArgumentError("not a JSON object");
  Json value = config.value("chat_template", Json());
  if (value.is_array()) {
    for (const Json& entry : Json(value))
      if (entry.is_object() && entry.value("name", Json()) == "default")
        value = entry.value("template", Json());
  }
  if (value.is_null()) return absl::NotFoundError("has no chat_template");
  if (!value.is_string())
    return absl::InvalidArgumentError("chat_template must be a string");
  return value.get<std::string>();
}

}  // namespace

absl::StatusOr<ChatTemplateMode> ParseChatTemplateMode(std::string_view text) {
  if (text == "auto") return ChatTemplateMode::kAuto;
  if (text == "none") return ChatTemplateMode::kNone;
  if (text == "chatml") return ChatTemplateMode::kChatMl;
  return absl::InvalidArgumentError(
      absl::StrCat("chat template '", OneLine(text),
                   "' is not known; it must be auto, none or chatml"));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Load(
    const std::string& model_directory, ChatTemplateMode mode) {
  if (mode == ChatTemplateMode::kChatMl) return Recognize(kPlainChatMl);
  if (mode == ChatTemplateMode::kNone) {
    ChatTemplate none;
    none.name_ = "none";
    none.digest_ = Sha256Hex("");
    return none;
  }
  fs::path path = fs::path(model_directory) / "chat_template.jinja";
  absl::StatusOr<std::string> source = absl::NotFoundError("cannot be opened");
  if (auto jinja = ReadIfThere(path); jinja.has_value()) {
    source = *std::move(jinja);
  } else {
    path = fs::path(model_directory) / "tokenizer_config.json";
    if (auto config = ReadIfThere(path); config.has_value())
      source = FromConfig(*config);
  }
  absl::StatusOr<ChatTemplate> result =
      source.ok() ? Recognize(*source) : source.status();
  if (result.ok()) return result;
  return absl::Status(
      result.status().code(),
      absl::StrCat(path.string(), ": ", result.status().message(), kWayOut));
}

absl::StatusOr<ChatTemplate> ChatTemplate::Recognize(std::string_view source) {
  const auto statements = ReadJinja(source);
  if (!statements.ok())
    return absl::UnimplementedError(
        absl::StrCat("the chat template is not a known one (",
                     OneLine(std::string(statements.status().message())), ")"));
  ASSIGN_OR_RETURN(auto parts, Walk(*statements).Run());
  const auto system = SystemPrompt(parts.first);
  if (!system.has_value() ||
      parts.second != "<|im_end|>\n<|im_start|>assistant\n")
    return absl::UnimplementedError(
        "the chat template is not a known one (it does not make ChatML)");
  ChatTemplate chat;
  chat.name_ = system->empty() ? "chatml" : "chatml+system";
  chat.system_prompt_ = *system;
  chat.before_ = std::move(parts.first);
  chat.after_ = std::move(parts.second);
  chat.digest_ = Sha256Hex(source);
  return chat;
}

std::string ChatTemplate::Render(std::string_view user_content) const {
  return absl::StrCat(
      before_, absl::string_view(user_content.data(), user_content.size()),
      after_);
}

std::string ChatTemplate::RenderChat(
    const std::vector<ChatMessage>& messages) const {
  const auto turn = [](std::string_view role, std::string_view content) {
    return absl::StrCat("<|im_start|>", std::string(role), "\n",
                        std::string(content), "<|im_end|>\n");
  };
  std::string text;
  if (!system_prompt_.empty() && messages.front().role != "system")
    text = turn("system", system_prompt_);
  for (const ChatMessage& message : messages)
    text += turn(message.role, message.content);
  return text + "<|im_start|>assistant\n";
}

}  // namespace kvrecall
