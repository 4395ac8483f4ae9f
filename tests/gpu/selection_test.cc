// Selection and comparison of sets on the device against a stable sort and
// plain loops.

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/telemetry/selection_cuda.h"
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

TEST_P(SelectionTest, ThresholdsMarkTheTopOfAStableSort) {
  // Rows of a longer table, as in use.
  const at::Tensor scores =
      at::cat({DrawScores(kind_, 3, n_), at::full({3, 4}, 1e9, at::kDouble)}, 1)
          .to(OnDevice(dtype_))
          .narrow(1, 0, n_);
  const std::vector<int64_t> ks = SetSizes(n_);
  const Thresholds top = SelectTopCuda(scores, ks);
  const Rows rows = ToRows(scores), values = ToRows(top.values);
  const Rows positions = ToRows(top.positions);
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<int64_t> order = Order(rows[r]);
    for (size_t b = 0; b < ks.size(); ++b) {
      EXPECT_EQ(values[r][b], rows[r][order[ks[b] - 1]]) << ks[b];
      EXPECT_EQ(positions[r][b], order[ks[b] - 1]) << ks[b];
    }
  }
  const Thresholds again = SelectTopCuda(scores, ks);
  EXPECT_TRUE(SameBits(top.values, again.values));
  EXPECT_TRUE(SameBits(top.positions, again.positions));
}

// Jobs of every kind against libtorch's operators on the CPU, which the CPU's
// own tests compare with plain sets.
TEST_P(SelectionTest, SetsAndFiguresEqualTheTwin) {
  const at::Tensor scores = DrawScores(kind_, 3, n_).to(dtype_);
  at::manual_seed(5);
  const at::Tensor attention = at::softmax(at::randn({3, n_}) * 4, 1);
  const at::Tensor other = at::randint(32, {3, n_ + 2}, at::kShort);
  const std::vector<int64_t> ks = SetSizes(n_);
  for (const int64_t last : {int64_t{0}, int64_t{1}, n_ / 3, n_}) {
    SetJob job;
    job.scores = {scores, {last}};
    job.budgets = static_cast<int>(ks.size());
    job.ks = ks;
    job.weights = attention;
    job.other = other;
    job.held = at::randint(32, {3, n_}, at::kShort);
    job.count_fetched = true;
    SetJob on_device = job;
    on_device.scores.values = scores.to(OnDevice(dtype_));
    on_device.weights = attention.to(OnDevice(at::kFloat));
    on_device.other = other.to(OnDevice(at::kShort));
    on_device.held = job.held.to(OnDevice(at::kShort));
    SetJob again = on_device;
    again.held = on_device.held.clone();
    const at::Tensor want = FormSetsWithAten({&job, 1})[0];
    const at::Tensor got = FormSets({&on_device, 1})[0];
    EXPECT_LE((got.cpu() - want).abs().max().item<double>(), 1e-6) << last;
    EXPECT_TRUE(at::equal(on_device.held.cpu(), job.held)) << last;
    EXPECT_TRUE(SameBits(got, FormSets({&again, 1})[0])) << last;
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

TEST(SelectionBudgetTest, MoreBudgetsThanOneLaunchTakes) {
  const at::Tensor scores = at::randn({2, 100}).to(OnDevice(at::kFloat));
  std::vector<int64_t> ks(70);
  std::iota(ks.begin(), ks.end(), 3);
  const Thresholds top = SelectTopCuda(scores, ks);
  const Rows rows = ToRows(scores), positions = ToRows(top.positions);
  for (size_t r = 0; r < 2; ++r) {
    const std::vector<int64_t> order = Order(rows[r]);
    for (size_t b = 0; b < ks.size(); ++b)
      EXPECT_EQ(positions[r][b], order[ks[b] - 1]);
  }
}

}  // namespace
}  // namespace kvrecall
