// The statistics against SciPy and NumPy, on tests/golden/statistics.json.

#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <vector>

#include "nlohmann/json.hpp"
#include <gtest/gtest.h>

#include "common/analysis/correlation.h"
#include "common/analysis/ranks.h"
#include "common/analysis/roc.h"
#include "common/analysis/student.h"

namespace kvrecall {
namespace {

using Column = std::vector<double>;
using nlohmann::json;

// Null in the file: what is not defined.
std::optional<double> Number(const json& value) {
  return value.is_null() ? std::nullopt
                         : std::optional<double>(value.get<double>());
}

void ExpectNear(std::optional<double> got, std::optional<double> want,
                const char* what) {
  ASSERT_EQ(got.has_value(), want.has_value()) << what;
  // Relative above 1 and for tiny p.
  if (!want) return;
  EXPECT_NEAR(*got, *want, 1e-9 * std::fmax(1, std::fabs(*want))) << what;
}

void ExpectSameP(double r, int64_t n, int controls,
                 std::optional<double> want) {
  const std::optional<double> got = NaiveP(r, n, controls);
  if (!got || !want) return;  // SciPy gives 1 for two pairs, here there is none
  EXPECT_NEAR(*got, *want, 1e-9);
  if (*want > 1e-200) {
    EXPECT_NEAR(*got / *want, 1, 1e-7);
  }
}

TEST(StatisticsTest, EqualSciPy) {
  std::ifstream file("tests/golden/statistics.json");
  ASSERT_TRUE(file) << "run from the project's root";
  const json golden = json::parse(file);
  int cases = 0;
  for (const json& c : golden["cases"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    ++cases;
    const Column x = c["x"], y = c["y"];
    const std::vector<int64_t> first = c["first"];
    const auto n = static_cast<int64_t>(x.size());
    const auto pearson = Pearson(x, y);
    const auto spearman = Spearman(x, y);
    const auto slope = Slope(x, y);
    ASSERT_TRUE(pearson.ok() && spearman.ok() && slope.ok());
    EXPECT_EQ(pearson->n, n);
    if (!c.contains("pearson")) {
      EXPECT_EQ(pearson->r, std::nullopt);
      EXPECT_EQ(spearman->r, std::nullopt);
    } else {
      ExpectNear(pearson->r, Number(c["pearson"][0]), "Pearson");
      ExpectSameP(*pearson->r, n, 0, Number(c["pearson"][1]));
      ExpectNear(spearman->r, Number(c["spearman"][0]), "Spearman");
      ExpectSameP(*spearman->r, n, 0, Number(c["spearman"][1]));
      ExpectNear(*slope, Number(c["slope"]), "slope");
    }
    if (c.contains("partial")) {
      const std::vector<Column> controls = c["controls"];
      const auto partial = PartialCorrelation(x, y, {controls[0], controls[1]});
      ASSERT_TRUE(partial.ok()) << partial.status();
      ExpectNear(partial->r, Number(c["partial"][0]), "partial");
      ExpectSameP(*partial->r, n, 2, Number(c["partial"][1]));
    }
    if (c.contains("within")) {
      const auto within =
          Pearson(WithinSamples(x, first), WithinSamples(y, first));
      const auto ranks =
          Pearson(RanksWithinSamples(x, first), RanksWithinSamples(y, first));
      ASSERT_TRUE(within.ok() && ranks.ok());
      // Samples of one step each leave nothing, of which SciPy has no opinion.
      if (!c["within"].is_null())
        ExpectNear(within->r, Number(c["within"]), "within");
      if (!c["within_ranks"].is_null())
        ExpectNear(ranks->r, Number(c["within_ranks"]), "within, ranks");
    }
    std::vector<uint8_t> event;
    for (const double value : y) event.push_back(value < c["tau"] ? 1 : 0);
    ExpectNear(RocArea(x, event),
               c.contains("roc_area") ? Number(c["roc_area"]) : std::nullopt,
               "ROC area");
  }
  EXPECT_EQ(cases, 36);
}

TEST(StatisticsTest, RefusesWhatIsNotFinite) {
  const Column good = {1, 2, 3};
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity()}) {
    const Column column = {1, bad, 3};
    for (const absl::Status& status :
         {Pearson(column, good).status(), Spearman(good, column).status(),
          Slope(column, good).status(),
          PartialCorrelation(good, good, {column}).status(),
          PartialCorrelation(column, good, {good}).status()})
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  EXPECT_EQ(Spearman(good, Column{1, 2}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PartialTest, ControlsThatSayNothingTakeNothingAway) {
  const Column x = {1, 5, 2, 7, 3, 9, 4}, y = {2, 4, 4, 8, 2, 9, 1};
  const Column constant(7, 3.0), z = {0, 1, 0, 2, 5, 1, 1};
  Column twice;
  for (const double value : z) twice.push_back(2 * value - 1);
  EXPECT_NEAR(*PartialCorrelation(x, y, {constant})->r, *Pearson(x, y)->r,
              1e-14);
  EXPECT_NEAR(*PartialCorrelation(x, y, {z, twice})->r,
              *PartialCorrelation(x, y, {z})->r, 1e-12);
  // Nothing is left of a column that is its control, nor of too few pairs.
  EXPECT_EQ(PartialCorrelation(x, y, {x})->r, std::nullopt);
  EXPECT_EQ(
      PartialCorrelation(Column{1, 2, 4}, Column{3, 1, 2}, {Column{1, 0, 0}})
          ->r,
      std::nullopt);
}

TEST(RanksTest, EqualValuesShareTheirMeanRank) {
  EXPECT_EQ(MidRanks(Column{3, 1, 3, 2, 3}), (Column{4, 1, 4, 2, 4}));
  EXPECT_EQ(MidRanks(Column{7}), Column{1});
  EXPECT_EQ(MidRanks(Column{}), Column{});
}

TEST(WithinTest, ConstantAndSingleStepSamplesAreExactlyZero) {
  const Column values = {0.1, 0.1, 0.1, 5, 1, 2};
  EXPECT_EQ(WithinSamples(values, std::vector<int64_t>{0, 3, 4, 6}),
            (Column{0, 0, 0, 0, -0.5, 0.5}));
  EXPECT_EQ(RanksWithinSamples(values, std::vector<int64_t>{0, 3, 3, 6}),
            (Column{0, 0, 0, 1, -1, 0}));
}

TEST(StudentTest, HasNoPWithoutAFreePair) {
  EXPECT_EQ(NaiveP(0.5, 2), std::nullopt);
  EXPECT_EQ(NaiveP(0.5, 4, 2), std::nullopt);
  EXPECT_EQ(*NaiveP(1, 10), 0);
  EXPECT_NEAR(*NaiveP(0, 10), 1, 1e-15);
}

TEST(RocTest, TheCurveGoesFromNothingToEverything) {
  const Column signal = {1, 2, 2, 3};
  const std::vector<uint8_t> event = {0, 0, 1, 1};
  const std::vector<RocPoint> curve = RocCurve(signal, event, 100);
  ASSERT_EQ(curve.size(), 4u);
  EXPECT_EQ(curve[0].true_positives, 0);
  EXPECT_EQ(curve[1].threshold, 3);
  EXPECT_EQ(curve[1].true_positives, 0.5);
  EXPECT_EQ(curve[1].false_positives, 0);
  EXPECT_EQ(curve[2].true_positives, 1);
  EXPECT_EQ(curve[2].false_positives, 0.5);
  EXPECT_EQ(curve[3].false_positives, 1);
  EXPECT_EQ(RocCurve(signal, event, 2).size(), 2u);
  EXPECT_EQ(RocCurve(signal, event, 2)[1].false_positives, 1);
  EXPECT_TRUE(RocCurve(signal, std::vector<uint8_t>{1, 1, 1, 1}, 9).empty());
}

}  // namespace
}  // namespace kvrecall
