// The selector on the device: against a stable sort, and against libtorch's
// operators on the CPU for every kind of job.

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/selector.h"
#include "server/telemetry/selector_aten.h"
#include "tests/gpu/device.h"
#include "tests/gpu/exact_attention.h"

namespace kvrecall {
namespace {

// [rows][N]
using Rows = std::vector<std::vector<double>>;

Rows ToRows(const at::Tensor& t) {
  const at::Tensor c = t.cpu().to(at::kDouble).contiguous();
  Rows rows;
  for (int64_t r = 0; r < c.size(0); ++r)
    rows.emplace_back(c.data_ptr<double>() + r * c.size(1),
                      c.data_ptr<double>() + (r + 1) * c.size(1));
  return rows;
}

// Positions, best first.
std::vector<int64_t> Order(const std::vector<double>& row) {
  std::vector<int64_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return row[a] > row[b]; });
  return order;
}

std::vector<int64_t> SetSizes(int64_t n) {
  return {std::max<int64_t>(1, n * 3 / 10), 1, n, (n + 1) / 2,
          std::max<int64_t>(1, n / 10)};
}

// Rows of the kinds that occur, and that hurt.
at::Tensor DrawScores(const std::string& kind, int64_t rows, int64_t n) {
  at::manual_seed(n);
  const at::Tensor normal = at::randn({rows, n}, at::kDouble);
  if (kind == "normal") return normal;
  if (kind == "attention") return at::softmax(normal * 6, 1);
  if (kind == "tied") return (normal * 2).round();  // −0 and +0 among them
  if (kind == "constant") return at::zeros({rows, n}, at::kDouble);
  // Forced positions have +∞, and small numbers are denormal in float32.
  at::Tensor mixed = normal * 1e-40;
  mixed.narrow(1, n / 2, n - n / 2) *= 1e40;
  mixed.select(1, n - 1).fill_(std::numeric_limits<double>::infinity());
  mixed.select(1, 0).fill_(std::numeric_limits<double>::infinity());
  return mixed;
}

class SelectionTest : public ::testing::TestWithParam<
                          std::tuple<std::string, int64_t, at::ScalarType>> {
 protected:
  const std::string kind_ = std::get<0>(GetParam());
  const int64_t n_ = std::get<1>(GetParam());
  const at::ScalarType dtype_ = std::get<2>(GetParam());
};

// A job and what the device makes of the same one.
class Twins {
 public:
  Twins(const SetJob& job, at::ScalarType dtype) : job_(job), on_device_(job) {
    const auto move = [](at::Tensor& t, at::ScalarType to) {
      if (t.defined()) t = t.to(OnDevice(to));
    };
    on_device_.held = job.held.defined() ? job.held.clone() : job.held;
    move(on_device_.scores.values, dtype);
    move(on_device_.weights, at::kFloat);
    move(on_device_.other, at::kShort);
    move(on_device_.held, at::kShort);
    // Rows of a longer table, as in use.
    at::Tensor& values = on_device_.scores.values;
    values =
        at::cat({values, at::full({values.size(0), 4}, 1e9, values.options())},
                1)
            .narrow(1, 0, values.size(1));
  }

  // Equal sets and figures, and the same bits again; of both jobs `held` goes
  // on to what the sets are.
  void ExpectEqual() {
    SetJob again = on_device_;
    if (again.held.defined()) again.held = again.held.clone();
    const at::Tensor want = FormSetsWithAten({&job_, 1})[0];
    const at::Tensor got = FormSets({&on_device_, 1})[0];
    EXPECT_LE((got.cpu() - want).abs().max().item<double>(), 1e-6);
    if (job_.held.defined()) {
      EXPECT_TRUE(at::equal(on_device_.held.cpu(), job_.held));
    }
    EXPECT_TRUE(SameBits(got, FormSets({&again, 1})[0]));
  }

  SetJob& job() { return job_; }
  SetJob& on_device() { return on_device_; }

 private:
  SetJob job_, on_device_;
};

SetJob Job(const at::Tensor& scores, std::vector<int64_t> last,
           std::vector<int64_t> ks, int budgets) {
  const int64_t rows = scores.size(0), n = scores.size(1);
  at::manual_seed(5);
  SetJob job;
  job.scores = {scores, std::move(last)};
  job.budgets = budgets;
  job.ks = std::move(ks);
  job.weights = at::softmax(at::randn({rows, n}) * 4, 1);
  job.other = at::randint(1 << budgets, {rows, n + 2}).to(at::kShort);
  job.held = at::zeros({rows, n}, at::kShort);
  return job;
}

TEST_P(SelectionTest, MembersAreTheTopOfAStableSort) {
  const at::Tensor scores = DrawScores(kind_, 3, n_).to(dtype_);
  const std::vector<int64_t> ks = SetSizes(n_);
  Twins twins(Job(scores, {0}, ks, static_cast<int>(ks.size())), dtype_);
  FormSets({&twins.on_device(), 1});
  const at::Tensor held = twins.on_device().held.cpu();
  const Rows rows = ToRows(scores);
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<int64_t> order = Order(rows[r]);
    for (size_t b = 0; b < ks.size(); ++b)
      for (int64_t place = 0; place < n_; ++place)
        ASSERT_EQ(held[r][order[place]].item<int16_t>() >> b & 1, place < ks[b])
            << kind_ << ", K " << ks[b] << ", place " << place;
  }
}

// Jobs of every kind against libtorch's operators on the CPU, which the CPU's
// own tests compare with plain sets.
TEST_P(SelectionTest, SetsAndFiguresEqualTheTwin) {
  const at::Tensor scores = DrawScores(kind_, 3, n_).to(dtype_);
  const std::vector<int64_t> ks = SetSizes(n_);
  for (const int64_t last : {int64_t{0}, int64_t{1}, n_ / 3, n_, n_ + 7}) {
    SCOPED_TRACE(last);
    SetJob job = Job(scores, {last}, ks, static_cast<int>(ks.size()));
    Twins(job, dtype_).ExpectEqual();
    job.held = at::randint(32, {3, n_}, at::kShort);
    job.count_fetched = true;
    Twins(job, dtype_).ExpectEqual();
    job.held = at::Tensor();
    job.other = at::Tensor();
    job.count_fetched = false;
    Twins(job, dtype_).ExpectEqual();
  }
}

// As h2o_evict takes its first sets: the last positions differ by budget.
TEST_P(SelectionTest, LastPositionsOfEachBudget) {
  const std::vector<int64_t> ks = SetSizes(n_);
  std::vector<int64_t> last;
  for (const int64_t k : ks) last.push_back(k - k / 2);
  Twins(Job(DrawScores(kind_, 3, n_).to(dtype_), last, ks,
            static_cast<int>(ks.size())),
        dtype_)
      .ExpectEqual();
}

// As pyramidkv: each row has sizes of its own.
TEST_P(SelectionTest, SizesOfEachRow) {
  std::vector<int64_t> ks;
  for (int64_t row = 0; row < 3; ++row)
    for (const int64_t k : SetSizes(n_))
      ks.push_back(std::clamp<int64_t>(k + 2 * (row - 1), 1, n_));
  Twins(Job(DrawScores(kind_, 3, n_).to(dtype_), {n_ / 4}, ks, 5), dtype_)
      .ExpectEqual();
}

// As tova and h2o_evict go on: one position joins, the lowest go.
TEST_P(SelectionTest, SetsGoOnFromHeldOnes) {
  if (n_ < 2) return;
  const std::vector<int64_t> ks = SetSizes(n_ - 1);
  // The budget that holds everything keeps the last half.
  const std::vector<int64_t> last = {1, 1, n_ / 2, 1, 1};
  for (const bool by_budget : {false, true}) {
    SCOPED_TRACE(by_budget);
    Twins twins(Job(DrawScores(kind_, 3, n_).to(dtype_), {0}, ks, 5), dtype_);
    // What a step before would have left.
    SetJob before = twins.job();
    before.scores.values = before.scores.values.narrow(1, 0, n_ - 1);
    before.weights = before.weights.narrow(1, 0, n_ - 1);
    before.held = twins.job().held.narrow(1, 0, n_ - 1);
    before.other = at::Tensor();
    FormSetsWithAten({&before, 1});
    twins.on_device().held = twins.job().held.clone().to(OnDevice(at::kShort));
    for (SetJob* job : {&twins.job(), &twins.on_device()}) {
      job->had = ks;
      job->scores.last = by_budget ? last : std::vector<int64_t>{1};
      job->ks[3] = std::max<int64_t>(ks[3] - 2, 1);  // more than one goes
      job->ks[4] = ks[4] + 1;                        // none goes
    }
    twins.ExpectEqual();
  }
}

INSTANTIATE_TEST_SUITE_P(
    Small, SelectionTest,
    ::testing::Combine(::testing::Values("normal", "attention", "tied",
                                         "constant", "mixed"),
                       ::testing::Values(1, 2, 31, 512, 1300),
                       ::testing::Values(at::kFloat, at::kDouble)));

INSTANTIATE_TEST_SUITE_P(
    Large, SelectionTest,
    ::testing::Combine(::testing::Values("normal", "attention", "tied",
                                         "constant", "mixed"),
                       ::testing::Values(16384, 32001),
                       ::testing::Values(at::kFloat, at::kDouble)));

// Jobs of different kinds, dtypes and shapes go together, and sixteen budgets,
// of which groups go through the histograms in turn.
TEST(SelectionBatchTest, AllJobsOfAStepAtOnce) {
  at::manual_seed(7);
  std::vector<int64_t> ks(kMostBudgets);
  std::iota(ks.begin(), ks.end(), 40);
  std::vector<SetJob> jobs, on_device;
  std::vector<Twins> twins;
  for (const int64_t rows : {1, 28, 5}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      std::vector<int64_t> last;
      for (const int64_t k : ks) last.push_back(k / 2);
      for (const bool by_budget : {false, true})
        twins.emplace_back(
            Job(at::randn({rows, 3000}, dtype).round(),
                by_budget ? last : std::vector<int64_t>{1}, ks, kMostBudgets),
            dtype);
    }
  }
  for (Twins& pair : twins) {
    jobs.push_back(pair.job());
    on_device.push_back(pair.on_device());
  }
  const std::vector<at::Tensor> want = FormSetsWithAten(jobs);
  const std::vector<at::Tensor> got = FormSets(on_device);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_LE((got[i].cpu() - want[i]).abs().max().item<double>(), 1e-6) << i;
    EXPECT_TRUE(at::equal(on_device[i].held.cpu(), jobs[i].held)) << i;
  }
}

// Gold and what is compared with it in one call: two launches.
TEST(SelectionBatchTest, AJobIsComparedWithOneBeforeItInTheSameCall) {
  at::manual_seed(8);
  const std::vector<int64_t> ks = {5, 300};
  Twins gold(Job(at::rand({28, 2000}), {0}, ks, 2), at::kFloat);
  Twins policy(Job(at::rand({28, 2000}), {1}, ks, 2), at::kFloat);
  std::vector<SetJob> jobs = {gold.job(), policy.job()};
  std::vector<SetJob> on_device = {gold.on_device(), policy.on_device()};
  jobs[1].other = jobs[0].held;
  on_device[1].other = on_device[0].held;
  const std::vector<at::Tensor> want = FormSetsWithAten(jobs);
  const std::vector<at::Tensor> got = FormSets(on_device);
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_LE((got[i].cpu() - want[i]).abs().max().item<double>(), 1e-6) << i;
}

}  // namespace
}  // namespace kvrecall
