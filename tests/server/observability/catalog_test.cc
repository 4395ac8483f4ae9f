#include "server/observability/catalog.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

using CatalogTest = MetricsTest;

const char* TypeName(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "";
}

TEST_F(CatalogTest, EveryMetricOfTheCatalogIsExportedWithItsTypeAndHelp) {
  metrics_.SetBuild({"0.1.0", "abc", "1.13.0", "3.40.1"});
  metrics_.SetModel({"nano", "d1", "float32", "cpu", 1000, absl::Seconds(1)});
  const std::string text = Text();
  for (const MetricSpec& spec : Catalog()) {
    EXPECT_THAT(text, HasSubstr(absl::StrCat("# TYPE ", spec.name, " ",
                                             TypeName(spec.type))));
    EXPECT_THAT(text,
                HasSubstr(absl::StrCat("# HELP ", spec.name, " ", spec.help)));
    EXPECT_EQ(spec.type == MetricType::kCounter,
              absl::EndsWith(spec.name, "_total"))
        << spec.name;
    EXPECT_EQ(spec.type == MetricType::kHistogram, !spec.buckets.empty());
    EXPECT_TRUE(std::is_sorted(spec.buckets.begin(), spec.buckets.end()));
  }
  // And nothing that the catalog does not name, but the process's own.
  std::istringstream lines(text);
  std::set<std::string> names;
  for (const MetricSpec& spec : Catalog()) names.insert(spec.name);
  for (std::string hash, type, name; lines >> hash;) {
    if (hash == "#" && lines >> type >> name && type == "TYPE") {
      EXPECT_TRUE(names.contains(name) || absl::StartsWith(name, "process_") ||
                  absl::StartsWith(name, "exposer_"))
          << name;
    }
    std::getline(lines, hash);
  }
}

// The catalog as a page for operators.
std::string Page() {
  std::string page =
      "# What `/metrics` exports\n\n"
      "Made from `server/observability/catalog.cc` and checked against it by "
      "`observability_test`,\nwhich writes it anew where "
      "`KVRECALL_WRITE_PAGES` is set. Every series is there, at 0,\nfrom the "
      "start, at most 2 000 in all. Histograms have `_bucket`, `_sum` and "
      "`_count`.\n\n"
      "| family | type | labels | what | buckets |\n|---|---|---|---|---|\n";
  for (const MetricSpec& spec : Catalog()) {
    absl::StrAppend(
        &page, "| `", spec.name, "` | ", TypeName(spec.type), " | ",
        *spec.labels == '\0' ? "–"
                             : absl::StrReplaceAll(spec.labels, {{",", ", "}}),
        " | ", spec.help, " | ", absl::StrJoin(spec.buckets, " "), " |\n");
  }
  absl::StrAppend(
      &page,
      "\nThe process's own stand beside them: "
      "`process_cpu_seconds_total`,\n`process_resident_memory_bytes`, "
      "`process_virtual_memory_bytes`,\n`process_open_fds`, "
      "`process_max_fds`, `process_start_time_seconds`.\n");
  return page;
}

TEST_F(CatalogTest, ThePageIsTheCatalog) {
  const std::string path = "server/observability/METRICS.md";
  if (std::getenv("KVRECALL_WRITE_PAGES") != nullptr)
    std::ofstream(path) << Page();
  std::ostringstream page;
  page << std::ifstream(path).rdbuf();
  EXPECT_EQ(page.str(), Page());
}

// Where a quantity stands beside the family that shows it.
TEST_F(CatalogTest, EveryFamilyThatThePageNamesIsThere) {
  std::set<std::string> families;
  for (const MetricSpec& spec : Catalog()) families.insert(spec.name);
  std::ostringstream page;
  page << std::ifstream("common/METRICS.md").rdbuf();
  const std::string text = page.str();
  const std::string begin = "`kvrecall_";
  size_t named = 0;
  for (size_t at = text.find(begin); at != std::string::npos;
       at = text.find(begin, at + 1)) {
    const std::string name =
        text.substr(at + 1, text.find('`', at + 1) - at - 1);
    EXPECT_TRUE(families.contains(name)) << name;
    ++named;
  }
  EXPECT_GE(named, 10u);
}

TEST(EntropyBinTest, ABoundBelongsToTheBinThatItEnds) {
  EXPECT_EQ(EntropyBinOf(0), 0);
  EXPECT_EQ(EntropyBinOf(0.1), 0);
  EXPECT_EQ(EntropyBinOf(std::nextafter(0.1, 1)), 1);
  EXPECT_EQ(EntropyBinOf(5), 6);
  EXPECT_EQ(EntropyBinOf(11.93), 7);
  for (int i = 1; i < kEntropyBins; ++i)
    EXPECT_LT(EntropyBins()[i - 1].upper, EntropyBins()[i].upper);
}

}  // namespace
}  // namespace kvrecall
