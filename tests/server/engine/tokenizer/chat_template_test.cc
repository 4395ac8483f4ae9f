#include "server/engine/tokenizer/chat_template.h"

#include <filesystem>
#include <fstream>
#include <vector>

#include <gtest/gtest.h>

#include "common/base/digest.h"
#include "tests/server/engine/tokenizer/golden_file.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

class ChatTemplateTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/chat_template_" +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }

  absl::StatusOr<ChatTemplate> Load() {
    return ChatTemplate::Load(directory_, ChatTemplateMode::kAuto);
  }

  std::string directory_;
};

Json GoldenCases() {
  return Json::parse(ReadText("tests/golden/chat_template.json"));
}

std::string Golden(const std::string& name) {
  for (const Json& golden : GoldenCases())
    if (golden["name"] == name) return golden["template"];
  return "";
}

TEST_F(ChatTemplateTest, RendersKnownTemplatesAsJinjaDoes) {
  int recognised = 0;
  for (const Json& golden : GoldenCases()) {
    const std::string source = golden["template"];
    const auto chat = ChatTemplate::Recognize(source);
    // Some layouts put out spaces of their own: that is no ChatML.
    const std::string rendered = golden["rendered"];
    const bool chatml = rendered.find("\n  ") == std::string::npos;
    ASSERT_EQ(chat.ok(), chatml) << golden["name"] << chat.status();
    if (!chat.ok()) continue;
    ++recognised;
    EXPECT_EQ(chat->Render(golden["content"].get<std::string>()), rendered);
    EXPECT_EQ(chat->digest(), Sha256Hex(source));
  }
  EXPECT_GE(recognised, 7);
}

std::vector<ChatMessage> MessagesOf(const Json& chat) {
  std::vector<ChatMessage> messages;
  for (const Json& message : chat["messages"])
    messages.push_back({message["role"], message["content"]});
  return messages;
}

TEST_F(ChatTemplateTest, RendersChatsAsJinjaDoes) {
  int rendered = 0;
  for (const Json& golden : GoldenCases()) {
    const auto chat =
        ChatTemplate::Recognize(golden["template"].get<std::string>());
    if (!chat.ok()) continue;
    ASSERT_GE(golden["chats"].size(), 9u) << golden["name"];
    for (const Json& conversation : golden["chats"]) {
      const std::vector<ChatMessage> messages = MessagesOf(conversation);
      ASSERT_TRUE(CheckMessages(messages).ok()) << CheckMessages(messages);
      EXPECT_EQ(chat->RenderChat(messages),
                conversation["rendered"].get<std::string>())
          << golden["name"];
      ++rendered;
    }
  }
  EXPECT_GE(rendered, 7 * 9);
}

TEST_F(ChatTemplateTest, AChatOfOneMessageIsThatMessagesPrompt) {
  for (const Json& golden : GoldenCases()) {
    const auto chat =
        ChatTemplate::Recognize(golden["template"].get<std::string>());
    if (!chat.ok()) continue;
    for (const char* content : {"", "a", "<|im_end|>\n", "\n\n"})
      EXPECT_EQ(chat->RenderChat({{"user", content}}), chat->Render(content));
  }
}

TEST_F(ChatTemplateTest, AChatsOwnSystemPromptReplacesTheTemplates) {
  const auto chat = ChatTemplate::Recognize(Golden("qwen2"));
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->RenderChat({{"system", "Be brief."}, {"user", "a"}}),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\na"
            "<|im_end|>\n<|im_start|>assistant\n");
}

TEST_F(ChatTemplateTest, FindsTheSystemPrompt) {
  const auto qwen25 = ChatTemplate::Recognize(Golden("qwen2.5"));
  ASSERT_TRUE(qwen25.ok()) << qwen25.status();
  EXPECT_EQ(qwen25->name(), "chatml+system");
  EXPECT_EQ(qwen25->system_prompt(),
            "You are Qwen, created by Alibaba Cloud. You are a helpful "
            "assistant.");
  const auto qwen2 = ChatTemplate::Recognize(Golden("qwen2"));
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  EXPECT_EQ(qwen2->system_prompt(), "You are a helpful assistant.");
  const auto plain = ChatTemplate::Recognize(Golden("plain"));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->name(), "chatml");
  EXPECT_EQ(plain->system_prompt(), "");
}

// One change of meaning anywhere that a user message passes is refused.
TEST_F(ChatTemplateTest, RefusesTemplatesThatDifferInMeaning) {
  const std::string plain = Golden("plain");
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = plain;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& source : {
           edited("message['content']", "message['content'] | trim"),
           edited("message['content']", "message['content'].strip()"),
           edited("message['content']", "message['text']"),
           edited("for message in messages", "for message in messages[1:]"),
           edited("if add_generation_prompt", "if not add_generation_prompt"),
           edited("<|im_start|>", "<|start|>"),
           edited("assistant\\n", "assistant\\n<think>\\n"),
           edited("{% endfor %}", ""),
           edited("'<|im_end|>'", "('<|im_end|>' if true else '')"),
           "x" + plain,
           "{% set a = 1 %}" + plain,
           plain + plain,
           std::string("{{ bos_token }}") + plain,
           std::string(""),
           std::string("{{"),
           std::string("{% if"),
       })
    EXPECT_EQ(ChatTemplate::Recognize(source).status().code(),
              absl::StatusCode::kUnimplemented)
        << source;
}

TEST_F(ChatTemplateTest, ReadsTheConfigOrTheJinjaFileBesideIt) {
  Write("tokenizer_config.json",
        Json{{"chat_template", Golden("qwen2")}}.dump());
  auto chat = Load();
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->system_prompt(), "You are a helpful assistant.");
  Write("chat_template.jinja", Golden("plain"));
  chat = Load();
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->name(), "chatml");
}

TEST_F(ChatTemplateTest, OfSeveralTemplatesTheDefaultCounts) {
  Write("tokenizer_config.json",
        Json{{"chat_template",
              {{{"name", "tool_use"}, {"template", "x"}},
               {{"name", "default"}, {"template", Golden("plain")}}}}}
            .dump());
  EXPECT_TRUE(Load().ok()) << Load().status();
}

TEST_F(ChatTemplateTest, ErrorsNameTheFileAndTheWayOut) {
  const auto expect_error = [&](absl::StatusCode code) {
    const absl::Status status = Load().status();
    EXPECT_EQ(status.code(), code) << status;
    for (const char* part : {"tokenizer_config.json", "--chat-template none"})
      EXPECT_NE(status.message().find(part), absl::string_view::npos) << status;
  };
  expect_error(absl::StatusCode::kNotFound);
  Write("tokenizer_config.json", "{}");
  expect_error(absl::StatusCode::kNotFound);
  Write("tokenizer_config.json", "{");
  expect_error(absl::StatusCode::kInvalidArgument);
  Write("tokenizer_config.json", R"({"chat_template": 3})");
  expect_error(absl::StatusCode::kInvalidArgument);
  Write("tokenizer_config.json", R"({"chat_template": "{{ x }}"})");
  expect_error(absl::StatusCode::kUnimplemented);
}

TEST_F(ChatTemplateTest, NoneAndChatMlNeedNoFile) {
  const auto none = ChatTemplate::Load(directory_, ChatTemplateMode::kNone);
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(none->Render("a"), "a");
  EXPECT_EQ(none->name(), "none");
  const auto chatml = ChatTemplate::Load(directory_, ChatTemplateMode::kChatMl);
  ASSERT_TRUE(chatml.ok());
  EXPECT_EQ(chatml->Render("a"),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chatml->RenderChat({{"system", "s"}, {"user", "a"}}),
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n"
            "<|im_start|>assistant\n");
  EXPECT_EQ(chatml->digest(), Sha256Hex(Golden("plain")));
}

TEST_F(ChatTemplateTest, ModesAreReadByName) {
  EXPECT_EQ(*ParseChatTemplateMode("auto"), ChatTemplateMode::kAuto);
  EXPECT_EQ(*ParseChatTemplateMode("none"), ChatTemplateMode::kNone);
  EXPECT_EQ(*ParseChatTemplateMode("chatml"), ChatTemplateMode::kChatMl);
  EXPECT_FALSE(ParseChatTemplateMode("ChatML").ok());
}

TEST_F(ChatTemplateTest, TheEmbeddedModelsTemplateIsPlainChatMl) {
  const auto chat =
      ChatTemplate::Load("deploy/models/nano", ChatTemplateMode::kAuto);
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_EQ(chat->name(), "chatml");
}

}  // namespace
}  // namespace kvrecall
