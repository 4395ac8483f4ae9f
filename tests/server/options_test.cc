#include "server/options.h"

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

absl::StatusOr<std::optional<ServerOptions>> Parse(
    std::vector<const char*> arguments, std::string* written = nullptr) {
  arguments.insert(arguments.begin(), "kvrecall-server");
  std::ostringstream out;
  auto options =
      ParseOptions(static_cast<int>(arguments.size()), arguments.data(), out);
  if (written != nullptr) *written = out.str();
  return options;
}

TEST(OptionsTest, DefaultsServeTheLoopbackOnly) {
  const auto options = Parse({"--model", "nano"});
  ASSERT_TRUE(options.ok()) << options.status();
  const ServerOptions& o = **options;
  EXPECT_EQ(o.model, "nano");
  EXPECT_EQ(o.listen, "127.0.0.1:50551");
  EXPECT_EQ(o.metrics, "127.0.0.1:9464");
  EXPECT_FALSE(o.allow_plaintext_remote);
  EXPECT_EQ(o.dtype, "auto");
  EXPECT_EQ(o.threads, 0);
  EXPECT_EQ(o.log_format, LogFormat::kText);
  EXPECT_FALSE(o.check_config);
}

TEST(OptionsTest, EveryFlagIsRead) {
  const auto options = Parse({"--model",
                              "/m",
                              "--listen",
                              "0.0.0.0:1",
                              "--allow-plaintext-remote",
                              "--metrics",
                              "",
                              "--database",
                              "/d.db",
                              "--dtype",
                              "bfloat16",
                              "--device",
                              "cuda",
                              "--threads",
                              "3",
                              "--max-context",
                              "4096",
                              "--prefill-chunk",
                              "64",
                              "--drain-seconds",
                              "7",
                              "--max-database-mib",
                              "8",
                              "--keep-days",
                              "9",
                              "--log-format",
                              "json",
                              "--check-config",
                              "--log-level",
                              "error",
                              "--port-file",
                              "/p"});
  ASSERT_TRUE(options.ok()) << options.status();
  const ServerOptions& o = **options;
  EXPECT_EQ(o.listen, "0.0.0.0:1");
  EXPECT_TRUE(o.allow_plaintext_remote);
  EXPECT_EQ(o.metrics, "");
  EXPECT_EQ(o.database, "/d.db");
  EXPECT_EQ(o.dtype, "bfloat16");
  EXPECT_EQ(o.device, "cuda");
  EXPECT_EQ(o.threads, 3);
  EXPECT_EQ(o.max_context, 4096);
  EXPECT_EQ(o.prefill_chunk, 64);
  EXPECT_EQ(o.drain_seconds, 7);
  EXPECT_EQ(o.max_database_mib, 8);
  EXPECT_EQ(o.keep_days, 9);
  EXPECT_EQ(o.log_level, "error");
  EXPECT_EQ(o.log_format, LogFormat::kJson);
  EXPECT_TRUE(o.check_config);
  EXPECT_EQ(o.port_file, "/p");
}

TEST(OptionsTest, BadFlagsAreNamedInOneLine) {
  const std::vector<std::vector<const char*>> lines = {
      {"--model", "nano", "--threads", "many"},
      {"--model", "nano", "--threads", "-1"},
      {"--model", "nano", "--dtype", "float16"},
      {"--model", "nano", "--device", "tpu"},
      {"--model", "nano", "--prefill-chunk", "-1"},
      {"--model", "nano", "--keep-days", "-1"},
      {"--model", "nano", "--max-database-mib", "much"},
      {"--model", "nano", "--log-level", "loud"},
      {"--model", "nano", "--log-format", "xml"},
      {"--model", "nano", "--frobnicate"},
      {"--model"},
      {}};
  for (const auto& line : lines) {
    const absl::Status status = Parse(line).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    const char* flag = line.size() > 2 ? line[2] : "--model";
    EXPECT_THAT(
        std::string(status.message()),
        AllOf(HasSubstr(std::string(flag).substr(2)), Not(HasSubstr("\n"))));
  }
}

TEST(OptionsTest, HelpAndVersionAreAnswersNotErrors) {
  std::string written;
  auto options = Parse({"--version"}, &written);
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_THAT(written, HasSubstr("kvrecall-server 0."));
  options = Parse({"--help"}, &written);
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->has_value());
  EXPECT_THAT(written, HasSubstr("--allow-plaintext-remote"));
}

TEST(OptionsTest, ScriptedNeedsNoModel) {
  const auto options = Parse({"--scripted"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ((*options)->model, "nano");
}

TEST(OptionsTest, TheDatabaseFollowsTheXdgRules) {
  setenv("XDG_DATA_HOME", "/x", 1);
  EXPECT_EQ(*DefaultDatabase(), "/x/kvrecall/kvrecall.db");
  unsetenv("XDG_DATA_HOME");
  setenv("HOME", "/h", 1);
  EXPECT_EQ(*DefaultDatabase(), "/h/.local/share/kvrecall/kvrecall.db");
  unsetenv("HOME");
  EXPECT_EQ(DefaultDatabase().status().code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace kvrecall
