// Command lines that take texts of the user's own.

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "client/commands/command.h"
#include "tests/client/cli_testing.h"

namespace kvrecall {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class CliCustomTest : public CliTest {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  // The one call of each kind that the server got.
  v1::RunConfig Config() {
    EXPECT_EQ(server_->script().creates.size(), 1u);
    return server_->script().creates.at(0).config();
  }
  v1::SubmitSamplesRequest Submitted() {
    EXPECT_EQ(server_->script().submits.size(), 1u);
    return server_->script().submits.at(0);
  }

  // Of a command line that is wrong, which asks the server for nothing.
  std::string Complaint(const std::vector<std::string>& arguments) {
    EXPECT_EQ(Run(arguments), kExitUsage) << testing::PrintToString(arguments);
    EXPECT_TRUE(server_->script().creates.empty());
    EXPECT_EQ(out_.str(), "");
    const std::string text = err_.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
    return text;
  }
};

TEST_F(CliCustomTest, APromptIsSentAsTheInputOfOneSample) {
  Start(MakeScript(1, 2));
  const std::string text = "Who wrote {this}?\n";
  EXPECT_EQ(Run({"submit", "--prompt", Write("prompt.txt", text)}), kExitOk)
      << err_.str();
  EXPECT_EQ(Config().task(), "custom");
  EXPECT_EQ(Config().prompt_template(), "");
  const v1::SubmitSamplesRequest submitted = Submitted();
  EXPECT_TRUE(submitted.complete());
  ASSERT_EQ(submitted.samples_size(), 1);
  EXPECT_EQ(submitted.samples(0).input(), text);
  EXPECT_EQ(submitted.samples(0).context(), "");
  EXPECT_EQ(submitted.samples(0).sample_id().size(), 16u);
  EXPECT_EQ(submitted.samples(0).answers_size(), 0);
  EXPECT_THAT(err_.str(), HasSubstr("run run-1: 1 samples of custom\n"));
  EXPECT_THAT(out_.str(), HasSubstr("Run run-1: succeeded"));
}

TEST_F(CliCustomTest, APromptMayComeFromStandardInput) {
  Start(MakeScript(1, 1));
  in_.str("Who?\nWhen?\n");
  EXPECT_EQ(Run({"submit", "--prompt", "-", "--max-new-tokens", "9"}), kExitOk)
      << err_.str();
  EXPECT_EQ(Submitted().samples(0).input(), "Who?\nWhen?\n");
  EXPECT_EQ(Config().max_new_tokens(), 9);
}

TEST_F(CliCustomTest, LinesAreSentWithTheirFieldsAndChats) {
  Start(MakeScript(2, 1));
  const std::string lines = Write(
      "own.jsonl",
      "{\"_id\":\"a\",\"title\":\"Ulysses\",\"year\":1922,\"answers\":[\"J\"]}"
      "\n{\"_id\":\"b\",\"title\":\"\",\"messages\":[{\"role\":\"system\","
      "\"content\":\"Be "
      "brief.\"},{\"role\":\"user\",\"content\":\"Who?\"}]}\n");
  EXPECT_EQ(Run({"submit", "--jsonl", lines, "--template",
                 "Who wrote {title} in {year}?"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Config().task(), "custom");
  EXPECT_EQ(Config().prompt_template(), "Who wrote {title} in {year}?");
  const v1::SubmitSamplesRequest submitted = Submitted();
  ASSERT_EQ(submitted.samples_size(), 2);
  EXPECT_EQ(submitted.samples(0).fields().at("title"), "Ulysses");
  EXPECT_EQ(submitted.samples(0).fields().at("year"), "1922");
  EXPECT_EQ(submitted.samples(0).answers(0), "J");
  ASSERT_EQ(submitted.samples(1).messages_size(), 2);
  EXPECT_EQ(submitted.samples(1).messages(0).role(), "system");
  EXPECT_EQ(submitted.samples(1).messages(1).content(), "Who?");
}

TEST_F(CliCustomTest, ATemplateMayBeAFile) {
  Start(MakeScript(1, 1));
  const std::string own = Write("own.txt", "Answer:\n{input}\n");
  EXPECT_EQ(
      Run({"submit", "--prompt", Write("p", "Who?"), "--template", "@" + own}),
      kExitOk)
      << err_.str();
  EXPECT_EQ(Config().prompt_template(), "Answer:\n{input}\n");
  EXPECT_EQ(Submitted().samples(0).input(), "Who?");
}

TEST_F(CliCustomTest, TheTaskMayBeNamedAndOtherOptionsApply) {
  Start(MakeScript(1, 1));
  const std::string lines =
      Write("own.jsonl", "{\"input\":\"a\"}\n{\"input\":\"b\"}\n");
  EXPECT_EQ(Run({"submit", "--task", "custom", "--jsonl", lines, "--limit", "1",
                 "--detach"}),
            kExitOk)
      << err_.str();
  EXPECT_EQ(Config().task(), "custom");
  EXPECT_EQ(Submitted().samples_size(), 1);
  EXPECT_EQ(out_.str(), "run-1\n");
}

TEST_F(CliCustomTest, WrongCombinationsSayWhatGoesTogether) {
  Start(MakeScript(1, 1));
  const std::string prompt = Write("p", "Who?");
  const std::string lines = Write("l", "{\"input\":\"a\"}\n");
  const std::string name = "kvrecall-client: ";
  EXPECT_EQ(Complaint({"submit"}),
            name +
                "nothing to submit: give --task TASK, --prompt FILE or "
                "--jsonl FILE\n");
  EXPECT_EQ(Complaint({"submit", "--template", "{input}"}),
            name +
                "nothing to submit: give --task TASK, --prompt FILE or "
                "--jsonl FILE\n");
  for (const auto& [option, file] :
       {std::pair{"--prompt", prompt}, std::pair{"--jsonl", lines}}) {
    EXPECT_EQ(Complaint({"submit", "--task", "demo", option, file}),
              name +
                  "--task demo does not go with --prompt or --jsonl, whose "
                  "samples are of task custom; leave it out\n");
    EXPECT_THAT(Complaint({"submit", option, file, "--data", lines}),
                HasSubstr("--data"));
  }
  EXPECT_EQ(Complaint({"submit", "--task", "custom"}),
            name +
                "task custom needs samples: --prompt FILE or --jsonl "
                "FILE\n");
  EXPECT_EQ(Complaint({"submit", "--task", "custom", "--data", lines}),
            name +
                "task custom needs samples: --prompt FILE or --jsonl "
                "FILE\n");
  EXPECT_EQ(
      Complaint({"submit", "--task", "demo", "--template", "{input}"}),
      name + "--template is for --prompt and --jsonl; demo has its own\n");
  EXPECT_THAT(Complaint({"submit", "--prompt", prompt, "--jsonl", lines}),
              HasSubstr("--prompt"));
}

TEST_F(CliCustomTest, FilesThatCannotBeSentAreNamedBeforeARunIsMade) {
  Start(MakeScript(1, 1));
  const std::string prompt = Write("p", "Who?");
  EXPECT_THAT(Complaint({"submit", "--prompt", folder_ + "/none"}),
              HasSubstr("/none: no such file"));
  EXPECT_THAT(Complaint({"submit", "--prompt", Write("e", "")}),
              HasSubstr("/e: is empty"));
  EXPECT_THAT(Complaint({"submit", "--prompt", "-"}),
              HasSubstr("standard input: is empty"));
  EXPECT_THAT(Complaint({"submit", "--prompt", Write("b", "\xFF")}),
              HasSubstr("/b: is not UTF-8 at byte 1"));
  EXPECT_THAT(Complaint({"submit", "--prompt", prompt, "--template", "@"}),
              HasSubstr("name the file behind the @"));
  EXPECT_THAT(Complaint({"submit", "--prompt", prompt, "--template",
                         "@" + folder_ + "/none"}),
              HasSubstr("/none: no such file"));
  EXPECT_THAT(
      Complaint({"submit", "--prompt", prompt, "--template", "{title}"}),
      HasSubstr("the template names {title}, and sample '"));
  EXPECT_THAT(Complaint({"submit", "--jsonl", folder_ + "/none"}),
              HasSubstr("/none: no such file"));
  EXPECT_THAT(Complaint({"submit", "--jsonl", Write("l", "{\"a\":\"b\"}\n")}),
              HasSubstr("has no input and no messages; say with --template"));
  EXPECT_THAT(Complaint({"submit", "--jsonl",
                         Write("m", "{\"input\":\"a\"}\n{\"messages\":[]}")}),
              HasSubstr("/m:2: field 'messages' is not a list"));
}

TEST_F(CliCustomTest, TokenizeShowsEveryTokenQuoted) {
  Start(MakeScript(1, 1));
  EXPECT_EQ(Run({"tokenize", Write("text", "a \n")}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "position  id  token\n"
            "       0  97  \"a\"\n"
            "       1  32  \" \"\n"
            "       2  10  \"\\n\"\n"
            "3 tokens\n");
  EXPECT_EQ(err_.str(), "");
}

TEST_F(CliCustomTest, TokenizeReadsStandardInputAndPrintsJson) {
  Start(MakeScript(1, 1));
  in_.str("ab");
  EXPECT_EQ(Run({"tokenize", "-", "--json"}), kExitOk) << err_.str();
  EXPECT_EQ(out_.str(),
            "{\"count\":2,\"token_ids\":[97,98],\"tokens\":[\"a\",\"b\"]}\n");
}

TEST_F(CliCustomTest, TokenizeSaysWhatIsWrong) {
  Start(MakeScript(1, 1));
  EXPECT_THAT(Complaint({"tokenize"}), HasSubstr("file"));
  EXPECT_THAT(Complaint({"tokenize", folder_ + "/none"}),
              HasSubstr("/none: no such file"));
  EXPECT_THAT(Complaint({"tokenize", "-"}),
              HasSubstr("standard input: is empty"));
  const std::string text = Write("text", "a");
  server_.reset();
  EXPECT_EQ(Run({"tokenize", text}), kExitError);
  EXPECT_THAT(err_.str(), HasSubstr("no server at"));
}

}  // namespace
}  // namespace kvrecall
