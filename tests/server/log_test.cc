#include "server/log.h"

#include <algorithm>
#include <regex>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "spdlog/spdlog.h"

#include "server/thread_name.h"

namespace kvrecall {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

template <typename Body>
std::string Written(Body body) {
  testing::internal::CaptureStderr();
  body();
  return testing::internal::GetCapturedStderr();
}

// The one line that `body` logs, as an object.
template <typename Body>
nlohmann::ordered_json Logged(Body body) {
  const std::string line = Written(body);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
  EXPECT_THAT(line, EndsWith("}\n"));
  return nlohmann::ordered_json::parse(line);
}

TEST(JsonLogTest, ALineIsAnObject) {
  SetUpLog("info", LogFormat::kJson);
  const auto object = Logged([] {
    std::thread([] {
      NameThread("writer");
      spdlog::warn("{} of {}", 1, 2);
    }).join();
  });
  EXPECT_EQ(object.size(), 4);
  EXPECT_TRUE(
      std::regex_match(object["time"].get<std::string>(),
                       std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)")))
      << object;
  EXPECT_EQ(object["level"], "warning");
  EXPECT_EQ(object["message"], "1 of 2");
  EXPECT_EQ(object["thread"], "writer");
  EXPECT_EQ(object.begin().key(), "time");
}

TEST(JsonLogTest, AnyTextStaysOneLineAndComesBack) {
  SetUpLog("info", LogFormat::kJson);
  const std::string text = "a\nb\t\"c\" \\ \x01 é 漢 😀 {}";
  EXPECT_EQ(Logged([&] { spdlog::info("{}", text); })["message"], text);
  EXPECT_EQ(Logged([] { spdlog::info("{}", "x\xFF\xC3y"); })["message"],
            "x\uFFFD\uFFFDy")
      << "what is not UTF-8 is replaced";
}

TEST(JsonLogTest, FieldsAreThoseOfTheScopesAround) {
  SetUpLog("info", LogFormat::kJson);
  const LogScope outer({.run = "r1", .method = "CreateRun"});
  {
    const LogScope inner({.run = "r2", .sample = "a\"b"});
    const auto object = Logged([] { spdlog::info("x"); });
    EXPECT_EQ(object["run"], "r2");
    EXPECT_EQ(object["sample"], "a\"b");
    EXPECT_EQ(object["method"], "CreateRun");
    EXPECT_FALSE(object.contains("request"));
  }
  const auto object = Logged([] { spdlog::info("x"); });
  EXPECT_EQ(object["run"], "r1");
  EXPECT_FALSE(object.contains("sample"));
}

TEST(JsonLogTest, FieldsAreTheThreadsOwn) {
  SetUpLog("info", LogFormat::kJson);
  const LogScope scope({.run = "r1"});
  const auto object =
      Logged([] { std::thread([] { spdlog::info("elsewhere"); }).join(); });
  EXPECT_FALSE(object.contains("run"));
}

TEST(TextLogTest, ALineOfACallNamesIt) {
  SetUpLog("info", LogFormat::kText);
  {
    const LogScope scope(
        {.run = "r1", .method = "CreateRun", .request = "0a1b"});
    EXPECT_THAT(Written([] { spdlog::info("run r1: demo"); }),
                EndsWith("] [info] run r1: demo [CreateRun 0a1b]\n"));
  }
  EXPECT_THAT(Written([] { spdlog::info("plain"); }),
              EndsWith("] [info] plain\n"));
}

TEST(TextLogTest, WhatIsBelowTheLevelIsLeftOut) {
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson}) {
    SetUpLog("warning", format);
    const std::string written = Written([] {
      spdlog::info("quiet");
      spdlog::error("loud");
    });
    EXPECT_THAT(written, HasSubstr("loud"));
    EXPECT_THAT(written, Not(HasSubstr("quiet")));
    SetUpLog("off", format);
    EXPECT_EQ(Written([] { spdlog::error("loud"); }), "");
  }
}

}  // namespace
}  // namespace kvrecall
