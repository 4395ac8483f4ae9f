#include "server/telemetry/selector.h"

#include <cmath>
#include <numeric>
#include <random>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/selector_aten.h"
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

// Masks that a job fills.
at::Tensor EmptyMasks(const at::Tensor& like) {
  return at::zeros(like.sizes(), at::kShort);
}

SetJob Job(const Scores& scores, const at::Tensor& weights,
           std::vector<int64_t> ks) {
  SetJob job;
  job.scores = scores;
  job.weights = weights;
  job.budgets = static_cast<int>(ks.size());
  job.ks = std::move(ks);
  job.held = EmptyMasks(weights);
  return job;
}

std::set<int64_t> Members(const at::Tensor& masks, int64_t row, int budget) {
  std::set<int64_t> members;
  for (int64_t j = 0; j < masks.size(1); ++j)
    if ((masks[row][j].item<int16_t>() >> budget & 1) != 0) members.insert(j);
  return members;
}

// The sets of every pair of matrices against plain sets, by the kernels and by
// libtorch's operators, from float64 and from float32 scores.
void ExpectPlainSets(const Matrix& rows, const Matrix& scores) {
  const at::Tensor weights = ToTensor(rows).to(at::kFloat);
  const int64_t n = weights.size(1);
  std::vector<int64_t> ks(static_cast<size_t>(std::min<int64_t>(n, 16)));
  std::iota(ks.begin(), ks.end(), 1);
  for (const auto form : {FormSetsOnCpu, FormSetsWithAten})
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      SetJob gold = Job({weights}, weights, ks);
      form({&gold, 1});
      SetJob job = Job({ToTensor(scores).to(dtype)}, weights, ks);
      job.other = gold.held;
      const at::Tensor figures = form({&job, 1})[0];
      for (int64_t r = 0; r < weights.size(0); ++r)
        for (size_t b = 0; b < ks.size(); ++b) {
          const auto want_gold = TopPositions(rows[r], ks[b]);
          const auto want = TopPositions(scores[r], ks[b]);
          ASSERT_EQ(Members(gold.held, r, b), want_gold);
          ASSERT_EQ(Members(job.held, r, b), want);
          double common = 0, mass = 0;
          for (const int64_t j : want) {
            common += want_gold.contains(j);
            mass += rows[r][j];
          }
          ASSERT_EQ(figures[kCommon][r][b].item<double>(), common);
          ASSERT_NEAR(figures[kMass][r][b].item<double>(), mass, 1e-6);
          ASSERT_EQ(figures[kHasLast][r][b].item<double>(),
                    want.contains(n - 1));
        }
    }
}

// All pairs over {0, 1, 2} with ties of every kind: the order is higher score
// first, then lower position.
TEST(SelectorTest, EqualsPlainSetsOnEveryTinyInput) {
  for (int64_t n = 1; n <= 3; ++n) {
    const int64_t count = static_cast<int64_t>(std::pow(3, n));
    for (int64_t i = 0; i < count; ++i)
      for (int64_t j = 0; j < count; ++j) {
        Matrix rows(1), scores(1);
        for (int64_t d = 0, x = i, y = j; d < n; ++d, x /= 3, y /= 3) {
          rows[0].push_back(static_cast<double>(x % 3));
          scores[0].push_back(static_cast<double>(y % 3));
        }
        ExpectPlainSets(rows, scores);
      }
  }
}

TEST(SelectorTest, EqualsPlainSetsOnRandomRowsWithTies) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t n = 1 + rng() % 40, count = 1 + rng() % 4;
    Matrix rows(count), scores(count);
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < n; ++j) {
        rows[r].push_back(1 + rng() % 6);
        scores[r].push_back(rng() % 6);
      }
    ExpectPlainSets(rows, scores);
  }
}

// Both ways to form the sets of one job, from the same start.
void ExpectTwins(const SetJob& job) {
  SetJob fast = job, slow = job;
  if (job.held.defined()) {
    fast.held = job.held.clone();
    slow.held = job.held.clone();
  }
  const at::Tensor figures = FormSetsOnCpu({&fast, 1})[0];
  const at::Tensor want = FormSetsWithAten({&slow, 1})[0];
  ASSERT_LE((figures - want).abs().max().item<double>(), 1e-6);
  ASSERT_TRUE(at::equal(fast.held, slow.held));
}

// Every kind of number: ties, zeros, scores that are equal in float32 and not
// in float64, a huge range.
std::vector<at::Tensor> KindsOfScores(int64_t rows, int64_t n) {
  const at::Tensor normal = at::randn({rows, n}, at::kDouble);
  return {normal,
          normal.exp() * 1e-9,
          (normal * 3).round(),
          at::threshold(normal, 1, 0),
          at::zeros({rows, n}, at::kDouble),
          1 + normal * 1e-12,
          at::where(normal > 2, normal * 1e30, normal)};
}

TEST(SelectorTest, KernelsEqualTheirTwinOnLongRows) {
  at::manual_seed(9);
  const int64_t n = 5003;
  const at::Tensor weights = at::softmax(at::randn({3, n}) * 4, -1);
  const std::vector<int64_t> ks = {1, 1, 2, 17, 500, 501, 2500, 5002, 5003};
  for (const at::Tensor& values : KindsOfScores(3, n))
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat})
      for (const int64_t last : {0, 1, 32, 5003, 6000}) {
        const at::Tensor some =
            values.narrow(1, 0, std::max<int64_t>(n - last, 0)).to(dtype);
        SetJob job = Job({some, {last}}, weights, ks);
        job.other = at::randint(512, {3, n}, at::kShort);
        ExpectTwins(job);
      }
}

// As telemetry asks: gold sets of two scopes, then policies beside each.
TEST(SelectorTest, AJobIsComparedWithOneBeforeItInTheSameCall) {
  at::manual_seed(11);
  for (const auto form : {FormSetsOnCpu, FormSetsWithAten}) {
    std::vector<SetJob> jobs, alone;
    for (const int64_t rows : {1, 7})
      jobs.push_back(
          Job({at::rand({rows, 600})}, at::rand({rows, 600}), {5, 60, 300}));
    for (const int scope : {1, 0, 1}) {
      SetJob job = Job({at::rand_like(jobs[scope].weights)},
                       jobs[scope].weights, {5, 60, 300});
      job.other = jobs[scope].held;
      jobs.push_back(job);
    }
    EXPECT_EQ(WaitsFor(jobs, 0), 0u);
    EXPECT_EQ(WaitsFor(jobs, 2), 1u);
    EXPECT_EQ(WaitsFor(jobs, 3), 0u);
    const std::vector<at::Tensor> together = form(jobs);
    for (SetJob& job : jobs) {
      const at::Tensor held = job.held.clone();
      job.held.zero_();
      alone.push_back(job);
      alone.back().held = held;
    }
    // One call each, those that are compared with first.
    for (const size_t i : {0, 1, 2, 3, 4}) {
      SetJob job = jobs[i];
      EXPECT_TRUE(at::equal(form({&job, 1})[0], together[i])) << i;
      EXPECT_TRUE(at::equal(job.held, alone[i].held)) << i;
    }
  }
}

TEST(SelectorTest, EachBudgetMayHaveItsOwnLastPositions) {
  at::manual_seed(10);
  const at::Tensor weights = at::softmax(at::randn({4, 700}), -1);
  const at::Tensor values = at::randn({4, 700}, at::kDouble);
  ExpectTwins(Job({values, {1, 30, 200}}, weights, {10, 60, 400}));
  ExpectTwins(Job({values, {10, 30, 700}}, weights, {10, 30, 400}));
}

TEST(SelectorTest, EachRowMayHaveItsOwnSizes) {
  at::manual_seed(11);
  const at::Tensor weights = at::softmax(at::randn({2, 300}), -1);
  SetJob job = Job({at::randn({2, 300}), {5}}, weights, {3, 100});
  job.ks = {3, 100, 90, 7};
  ExpectTwins(job);
  job.held.zero_();
  FormSetsOnCpu({&job, 1});
  EXPECT_EQ(Members(job.held, 0, 1).size(), 100u);
  EXPECT_EQ(Members(job.held, 1, 0).size(), 90u);
}

TEST(SelectorTest, SixteenBudgetsFillAMask) {
  at::manual_seed(12);
  std::vector<int64_t> ks(16);
  std::iota(ks.begin(), ks.end(), 20);
  const at::Tensor weights = at::softmax(at::randn({2, 100}), -1);
  SetJob job = Job({at::randn({2, 100}), {1}}, weights, ks);
  ExpectTwins(job);
  FormSetsOnCpu({&job, 1});
  for (int b = 0; b < 16; ++b)
    EXPECT_EQ(Members(job.held, 1, b).size(), static_cast<size_t>(ks[b]));
}

TEST(SelectorTest, HeldSetsGoOnAndTheLowestIsDropped) {
  const at::Tensor weights = at::full({1, 5}, 0.2);
  SetJob job =
      Job({at::tensor({3.0, 1.0, 1.0, 9.0}).view({1, 4}), {1}}, weights, {3});
  // 3 is not held: nothing may enter but 4. Of equal ones the last goes.
  job.held = at::tensor({1, 1, 1, 0, 0}, at::kShort).view({1, 5});
  job.had = {3};
  ExpectTwins(job);
  FormSetsOnCpu({&job, 1});
  EXPECT_EQ(Members(job.held, 0, 0), (std::set<int64_t>{0, 1, 4}));
}

TEST(SelectorTest, HeldSetsGoOnAsTheirTwinSays) {
  at::manual_seed(13);
  const int64_t n = 900;
  const at::Tensor weights = at::softmax(at::randn({3, n}), -1);
  for (const at::Tensor& values : KindsOfScores(3, n - 1))
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      SetJob before = Job({values.to(dtype), {1}}, weights, {90, 180, 270});
      FormSetsOnCpu({&before, 1});
      SetJob job = Job({values.flip({1}).contiguous().to(dtype), {1, 40, 7}},
                       weights, {90, 180, 268});
      job.held = before.held;
      job.held.select(1, n - 1).zero_();
      job.had = {89, 179, 269};
      ExpectTwins(job);
    }
}

TEST(SelectorTest, WhatComesBackIsCounted) {
  at::manual_seed(14);
  const at::Tensor weights = at::softmax(at::randn({3, 200}), -1);
  SetJob job = Job({at::randn({3, 199}), {1}}, weights, {20, 60});
  job.held = at::randint(4, {3, 200}, at::kShort);
  job.held.select(1, 199).zero_();
  job.count_fetched = true;
  ExpectTwins(job);
  // The step's own position is new, and does not count.
  job.held = at::full({3, 200}, 3, at::kShort);
  job.held.select(1, 199).zero_();
  EXPECT_EQ(FormSetsOnCpu({&job, 1})[0][kFetched].sum().item<double>(), 0);
}

TEST(SelectorTest, FreePositionsAreNotEarned) {
  for (const int64_t n : {1, 3, 4, 5, 32, 36, 37, 60}) {
    const at::Tensor weights = at::full({1, n}, 1.0 / static_cast<double>(n));
    SetJob job = Job({weights}, weights, {n});
    job.other = at::ones({1, n}, at::kShort);
    ExpectTwins(job);
    const at::Tensor figures = FormSetsOnCpu({&job, 1})[0];
    const double earned = static_cast<double>(std::max<int64_t>(n - 36, 0));
    EXPECT_EQ(figures[kEarned][0][0].item<double>(), earned) << n;
    EXPECT_EQ(figures[kCommonEarned][0][0].item<double>(), earned) << n;
  }
}

}  // namespace
}  // namespace kvrecall
