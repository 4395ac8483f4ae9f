#include "server/cpu/row_kernels.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/cpu/kernels.h"

namespace kvrecall {
namespace {

// Each instruction set's kernels against the slow formula.
TEST(RowKernelsTest, LogitsEntropyAndSumsEqualTheFormulas) {
  at::manual_seed(4);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : {1, 2, 15, 16, 17, 1024, 1025, 5000}) {
      const at::Tensor z = at::randn({n}) * 5;
      const cpu::LogitSums sums = kernels->sum_logits(z.data_ptr<float>(), n);
      const at::Tensor wide = z.to(at::kDouble);
      const at::Tensor e = (wide - wide.max()).exp();
      ASSERT_TRUE(sums.finite);
      EXPECT_EQ(sums.largest, z.max().item<float>());
      EXPECT_EQ(sums.best, z.argmax().item<int64_t>());
      EXPECT_NEAR(sums.sum / e.sum().item<double>(), 1, 1e-6);
      const double weighted = (e * (wide - wide.max())).sum().item<double>();
      EXPECT_NEAR(sums.weighted, weighted, 1e-6 * (1 + std::abs(weighted)));
      if (n > 1) {
        EXPECT_EQ(sums.second, std::get<0>(z.topk(2))[1].item<float>());
      }
      const at::Tensor p = at::softmax(z, 0);
      const at::Tensor q = p.to(at::kDouble);
      EXPECT_NEAR(kernels->entropy(p.data_ptr<float>(), n),
                  -at::xlogy(q, q).sum().item<double>(), 2e-6);
      at::Tensor into = at::randn({n}, at::kDouble);
      const at::Tensor want = into + q;
      kernels->add_to_doubles(p.data_ptr<float>(), n, into.data_ptr<double>());
      EXPECT_TRUE(at::equal(into, want));
    }
}

TEST(RowKernelsTest, ALogitThatIsNotFiniteIsSeenWhereverItStands) {
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const float bad : {NAN, INFINITY, -INFINITY})
      for (const int64_t at : {0, 15, 16, 36}) {
        at::Tensor z = at::randn({37});
        z[at] = bad;
        EXPECT_FALSE(kernels->sum_logits(z.data_ptr<float>(), 37).finite);
      }
}

TEST(RowKernelsTest, ZerosHaveNoPartInTheEntropy) {
  const float p[] = {0, 0.5f, 0, 0.5f, 0};
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    EXPECT_NEAR(kernels->entropy(p, 5), std::log(2.0), 1e-6);
}

constexpr int64_t kLengths[] = {1, 2, 15, 16, 17, 63, 64, 65, 1024, 1041, 5003};

uint16_t* Masks(const at::Tensor& t) {
  return reinterpret_cast<uint16_t*>(t.data_ptr<int16_t>());
}

TEST(RowKernelsTest, MeansOfRowsEqualTheirSumOverTheirNumber) {
  at::manual_seed(5);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths)
      for (const int64_t count : {1, 2, 3, 48}) {
        const at::Tensor rows = at::rand({count, n + 5});
        at::Tensor out = at::empty({n});
        kernels->mean_of_rows(rows.data_ptr<float>(), n + 5, count, n,
                              out.data_ptr<float>());
        const at::Tensor want =
            rows.narrow(1, 0, n).to(at::kDouble).mean(0).to(at::kFloat);
        ASSERT_TRUE(at::allclose(out, want, 1e-6, 1e-7)) << n << " " << count;
      }
}

TEST(RowKernelsTest, KeysAreCountedAndFound) {
  const uint32_t bounds[] = {0, 3, 0x80000000u, 0xffffffffu};
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths) {
      std::vector<uint32_t> keys(static_cast<size_t>(n));
      for (int64_t j = 0; j < n; ++j)
        keys[j] = bounds[j % 4] + static_cast<uint32_t>(j * 7919 % 5) - 2;
      int64_t counts[4];
      kernels->count_at_least(keys.data(), n, bounds, 4, counts);
      for (int b = 0; b < 4; ++b) {
        ASSERT_EQ(counts[b],
                  std::count_if(keys.begin(), keys.end(),
                                [&](uint32_t k) { return k >= bounds[b]; }))
            << n << " " << b;
        for (const uint32_t high : bounds) {
          std::vector<int32_t> want, found(keys.size() + cpu::kLanes);
          for (int64_t j = 0; j < n; ++j)
            if (keys[j] >= bounds[b] && keys[j] <= high)
              want.push_back(static_cast<int32_t>(j));
          found.resize(kernels->collect_between(keys.data(), n, bounds[b], high,
                                                found.data()));
          ASSERT_EQ(found, want) << n << " " << b << " " << high;
        }
      }
    }
}

TEST(RowKernelsTest, MarksAreAddedToWhatIsThere) {
  at::manual_seed(6);
  const uint32_t thresholds[] = {5, 0xffffffffu, 0, 7};
  const uint16_t bits[] = {1, 2, 8, 0x8000};
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths) {
      std::vector<uint32_t> keys(static_cast<size_t>(n));
      at::Tensor masks = at::randint(16, {n}, at::kShort);
      std::vector<uint16_t> want(Masks(masks), Masks(masks) + n);
      for (int64_t j = 0; j < n; ++j) {
        keys[j] = static_cast<uint32_t>(j * 7919 % 11);
        for (int b = 0; b < 4; ++b)
          if (keys[j] >= thresholds[b])
            want[j] = static_cast<uint16_t>(want[j] | bits[b]);
      }
      kernels->mark_at_least(keys.data(), n, thresholds, bits, 4, Masks(masks));
      ASSERT_TRUE(std::equal(want.begin(), want.end(), Masks(masks))) << n;
    }
}

TEST(RowKernelsTest, SetsAreCountedAndWeighed) {
  at::manual_seed(7);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths)
      for (const bool compared : {true, false}) {
        const at::Tensor masks = at::randint(-32768, 32767, {n}, at::kShort);
        const at::Tensor other = at::randint(-32768, 32767, {n}, at::kShort);
        const at::Tensor weights = at::softmax(at::randn({n}) * 3, 0);
        int64_t common[16];
        double mass[16];
        kernels->weigh_sets(Masks(masks), compared ? Masks(other) : nullptr,
                            weights.data_ptr<float>(), n, 16, common, mass);
        for (int b = 0; b < 16; ++b) {
          int64_t want = 0;
          double sum = 0;
          for (int64_t j = 0; j < n; ++j) {
            if ((Masks(masks)[j] >> b & 1) == 0) continue;
            want += !compared || (Masks(other)[j] >> b & 1) != 0;
            sum += weights.data_ptr<float>()[j];
          }
          ASSERT_EQ(common[b], want) << n << " " << b;
          ASSERT_NEAR(mass[b], sum, 1e-6) << n << " " << b;
        }
      }
}

template <typename T, typename Lowest>
void ExpectLastOfTheLowest(Lowest lowest, at::ScalarType dtype) {
  at::manual_seed(8);
  for (const int64_t n : kLengths) {
    const at::Tensor scores = at::randint(4, {n}, dtype);
    const at::Tensor masks = at::randint(8, {n}, at::kShort);
    int64_t want = -1;
    for (int64_t j = 0; j < n; ++j)
      if ((Masks(masks)[j] & 4) != 0 &&
          (want < 0 || scores.data_ptr<T>()[j] <= scores.data_ptr<T>()[want]))
        want = j;
    ASSERT_EQ(lowest(scores.data_ptr<T>(), Masks(masks), n, 4), want) << n;
    ASSERT_EQ(lowest(scores.data_ptr<T>(), Masks(masks), n, 0x100), -1);
  }
}

TEST(RowKernelsTest, OfTheLowestHeldTheLastIsFound) {
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels()) {
    ExpectLastOfTheLowest<float>(kernels->lowest_of_floats, at::kFloat);
    ExpectLastOfTheLowest<double>(kernels->lowest_of_doubles, at::kDouble);
  }
}

}  // namespace
}  // namespace kvrecall
