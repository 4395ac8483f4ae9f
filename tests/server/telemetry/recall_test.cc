#include "server/telemetry/recall.h"

#include <cmath>
#include <numeric>
#include <random>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/random_policy.h"
#include "server/telemetry/selector.h"
#include "server/telemetry/selector_cpu.h"
#include "tests/reference/recall_reference.h"

namespace kvrecall {
namespace {

using Matrix = std::vector<std::vector<double>>;

at::Tensor ToTensor(const Matrix& rows) {
  at::Tensor t = at::empty(
      {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())},
      at::kDouble);
  double* out = t.data_ptr<double>();
  for (const auto& row : rows)
    for (double v : row) *out++ = v;
  return t;
}

void ExpectEqual(const RecallRecord& got, const ReferenceRecall& want) {
  ASSERT_NEAR(got.recall, want.recall, 1e-12);
  ASSERT_NEAR(got.chance, want.chance, 1e-12);
  ASSERT_NEAR(got.mass, want.mass, 1e-12);
  if (std::isfinite(want.mass_ratio)) {
    ASSERT_NEAR(got.mass_ratio, want.mass_ratio, 1e-12);
  }
}

// All sets of every pair of matrices against the slow twin: by the kernels and
// by libtorch's operators, from float64 and from float32 scores.
void ExpectTwinsAgree(const Matrix& rows, const Matrix& scores) {
  const at::Tensor s = ToTensor(scores);
  const at::Tensor a = ToTensor(rows).to(at::kFloat);
  std::vector<int64_t> ks(static_cast<size_t>(a.size(1)));
  std::iota(ks.begin(), ks.end(), 1);
  for (const auto select : {SelectTopOnCpu, SelectTopWithAten})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const std::vector<SelectionJob> jobs = {{{a}, a}, {{s.to(dtype)}, a}};
      const std::vector<RowSets> sets = select(jobs, ks);
      const std::vector<RecallRecord> got =
          CompareSets(sets[0], sets[1], ks, a.size(1));
      ASSERT_TRUE(at::equal(CompareRowSetsOnCpu(sets[0], sets[1]),
                            CompareRowSetsWithAten(sets[0], sets[1])));
      for (size_t b = 0; b < ks.size(); ++b) {
        ASSERT_EQ(got[b].k, ks[b]);
        ExpectEqual(got[b], RecallSlowly(rows, scores, ks[b]));
      }
    }
}

// The record of one K.
RecallRecord Compare(const at::Tensor& rows, const Scores& scores, int64_t k) {
  const int64_t ks[] = {k};
  const SelectionJob jobs[] = {{{rows}, rows}, {scores, rows}};
  const std::vector<RowSets> sets = SelectTop(jobs, ks);
  return CompareSets(sets[0], sets[1], ks, rows.size(1))[0];
}

// All histories over {0, 1, 2} with ties of every kind: the order is higher
// score first, then lower position.
TEST(CompareSetsTest, EqualsTheSlowTwinOnEveryTinyInput) {
  for (int64_t n = 1; n <= 3; ++n) {
    const int64_t count = static_cast<int64_t>(std::pow(3, n));
    for (int64_t i = 1; i < count; ++i)
      for (int64_t j = 0; j < count; ++j) {
        Matrix rows(1), scores(1);
        for (int64_t d = 0, x = i, y = j; d < n; ++d, x /= 3, y /= 3) {
          rows[0].push_back(static_cast<double>(x % 3));
          scores[0].push_back(static_cast<double>(y % 3));
        }
        ExpectTwinsAgree(rows, scores);
      }
  }
}

TEST(CompareSetsTest, EqualsTheSlowTwinOnRandomRowsWithTies) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t n = 1 + rng() % 40, count = 1 + rng() % 4;
    Matrix rows(count), scores(count);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < n; ++j) {
        rows[r].push_back(1 + rng() % 6);
        scores[r].push_back(rng() % 6);
      }
    ExpectTwinsAgree(rows, scores);
  }
}

// Long rows of every kind of number: histograms of more than one bin, ties,
// zeros, scores that are equal in float32 and not in float64.
TEST(SelectorTest, KernelsEqualTheirTwinOnLongRows) {
  at::manual_seed(9);
  const int64_t n = 5003;
  const at::Tensor weights = at::softmax(at::randn({3, n}) * 4, -1);
  const at::Tensor normal = at::randn({3, n}, at::kDouble);
  const std::vector<at::Tensor> kinds = {
      normal,
      normal.exp() * 1e-9,
      (normal * 3).round(),
      at::threshold(normal, 1, 0),
      at::zeros({3, n}, at::kDouble),
      1 + normal * 1e-12,
      at::where(normal > 2, normal * 1e30, normal)};
  const int64_t ks[] = {1, 1, 2, 17, 500, 501, 2500, 5002, 5003};
  for (const at::Tensor& values : kinds)
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
      for (const bool own_first : {false, true}) {
        const Scores scores = {
            values.narrow(1, 0, own_first ? n - 1 : n).to(dtype), own_first};
        const SelectionJob job = {scores, weights};
        const RowSets fast = SelectTopOnCpu({&job, 1}, ks)[0];
        const RowSets slow = SelectTopWithAten({&job, 1}, ks)[0];
        ASSERT_TRUE(at::equal(fast.levels, slow.levels));
        ASSERT_LE((fast.mass - slow.mass).abs().max().item<double>(), 1e-6);
      }
}

TEST(CompareSetsTest, TheWholeContextIsAlwaysRecalled) {
  at::manual_seed(3);
  const at::Tensor rows = at::softmax(at::randn({5, 31}), -1);
  const RecallRecord record = Compare(rows, {at::randn({5, 31})}, 31);
  EXPECT_EQ(record.recall, 1);
  EXPECT_EQ(record.chance, 1);
  EXPECT_NEAR(record.mass, 1, 1e-6);
  EXPECT_EQ(record.mass_ratio, 1);
  EXPECT_FALSE(record.lift.has_value());
  EXPECT_EQ(record.row_recalls.size(), 5u);
}

TEST(CompareSetsTest, ASingleRowKeepsNoRowValues) {
  const at::Tensor rows = at::softmax(at::randn({1, 8}), -1);
  EXPECT_TRUE(Compare(rows, {rows}, 2).row_recalls.empty());
}

// Over 200 seeds the mean recall of `random` is the chance formula, within 4
// standard errors, with and without q_t in the gold set.
TEST(ChanceTest, RandomAveragesToTheFormula) {
  for (const bool own_is_gold : {false, true}) {
    at::manual_seed(own_is_gold ? 1 : 2);
    at::Tensor rows = at::softmax(at::randn({1, 120}), -1);
    rows[0][119] = own_is_gold ? 1.0 : 0.0;
    StepView view;
    view.positions = 120;
    view.accumulated = at::zeros({1, 119}, at::kDouble);
    for (const int64_t k : {1, 12, 36, 60}) {
      double sum = 0, squares = 0, chance = 0;
      for (uint64_t seed = 0; seed < 200; ++seed) {
        RandomPolicy policy(seed, 0xfeedULL);
        const RecallRecord record = Compare(rows, policy.Score(view), k);
        sum += record.recall;
        squares += record.recall * record.recall;
        chance = record.chance;
      }
      const double mean = sum / 200;
      const double variance = (squares - 200 * mean * mean) / 199;
      const double error = std::sqrt(std::max(variance, 0.0) / 200);
      EXPECT_NEAR(mean, chance, 4 * error + 1e-12) << k << " " << own_is_gold;
    }
  }
}

}  // namespace
}  // namespace kvrecall
