#include "common/base/error_reason.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST(ErrorReasonTest, AStatusCarriesReasonFactsAndTimeBesideItsWords) {
  const absl::Status status = WithRetryAfter(
      WithFact(WithFact(WithReason(absl::UnavailableError("words"), "DRAINING"),
                        "last_sequence", "7"),
               "other", ""),
      absl::Milliseconds(1500));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "words");
  EXPECT_EQ(ReasonOf(status), "DRAINING");
  EXPECT_THAT(FactsOf(status),
              ElementsAre(Pair("last_sequence", "7"), Pair("other", "")));
  EXPECT_EQ(RetryAfterOf(status), absl::Milliseconds(1500));
}

TEST(ErrorReasonTest, WithoutMoreTheReasonIsTheCodesFirst) {
  EXPECT_EQ(ReasonOf(absl::NotFoundError("x")), "RUN_NOT_FOUND");
  EXPECT_EQ(ReasonOf(absl::ResourceExhaustedError("x")), "NO_ROOM");
  EXPECT_EQ(ReasonOf(absl::UnknownError("x")), "UNKNOWN");
  EXPECT_EQ(RetryAfterOf(absl::UnavailableError("x")), std::nullopt);
  EXPECT_THAT(FactsOf(absl::UnavailableError("x")), IsEmpty());
}

TEST(ErrorReasonTest, OkHasNone) {
  EXPECT_TRUE(WithReason(absl::OkStatus(), "DRAINING").ok());
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
}

TEST(ErrorReasonTest, EachNameStandsOnce) {
  std::set<std::string> names;
  for (const ErrorReason& reason : AllErrorReasons())
    EXPECT_TRUE(names.insert(std::string(reason.name)).second) << reason.name;
}

// What only stands in a table is a promise that nobody keeps. The first of a
// code is given by the code itself.
TEST(ErrorReasonTest, EachReasonIsGivenSomewhere) {
  std::string sources;
  for (const char* folder : {"common", "server"}) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder)) {
      if (entry.path().extension() != ".cc" ||
          entry.path().filename() == "error_reason.cc")
        continue;
      std::ifstream file(entry.path());
      sources.append(std::istreambuf_iterator<char>(file), {});
    }
  }
  ASSERT_FALSE(sources.empty());
  std::set<absl::StatusCode> codes;
  for (const ErrorReason& reason : AllErrorReasons()) {
    if (codes.insert(reason.code).second) continue;
    EXPECT_THAT(sources,
                HasSubstr(absl::StrCat("\"", std::string(reason.name), "\"")));
  }
}

// The rows of server/ARCHITECTURE.md's table of reasons.
TEST(ErrorReasonTest, TheArchitectureHasEveryReason) {
  std::ifstream page("server/ARCHITECTURE.md");
  std::vector<std::string> documented, there;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    inside = line.starts_with("| reason ") || (inside && line.starts_with("|"));
    if (!inside || !line.starts_with("| `")) continue;
    documented.push_back(line);
  }
  for (const ErrorReason& reason : AllErrorReasons())
    there.push_back(absl::StrCat("| `", std::string(reason.name), "` | ",
                                 absl::StatusCodeToString(reason.code), " | ",
                                 std::string(reason.when), " | ",
                                 std::string(reason.advice), " |"));
  EXPECT_THAT(documented, ElementsAreArray(there));
}

}  // namespace
}  // namespace kvrecall
