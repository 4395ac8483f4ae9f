#include "common/base/version.h"

#include <regex>
#include <string>

#include <gtest/gtest.h>

#include "common/base/read_file.h"

namespace kvrecall {
namespace {

TEST(VersionTest, CitationNamesTheVersionThatIsBuilt) {
  const auto citation = ReadWholeFile("CITATION.cff");
  ASSERT_TRUE(citation.ok()) << citation.status();
  std::smatch version;
  ASSERT_TRUE(std::regex_search(*citation, version,
                                std::regex("\nversion: ([^\n]+)\n")));
  EXPECT_EQ(version[1], kVersion);
}

TEST(VersionTest, CommitIsKnownOrSaysThatItIsNot) {
  EXPECT_TRUE(std::regex_match(kCommit, std::regex("unknown|[0-9a-f]{12}")))
      << kCommit;
}

}  // namespace
}  // namespace kvrecall
