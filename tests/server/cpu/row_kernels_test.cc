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

// Σ e^x · factor, and how far off a sum may be: exponentials below e⁻⁷⁰⁰ are
// not told apart, nor are those that fill the last vector.
struct SlowSum {
  static inline const long double kLeast = std::exp(-700.0L);
  long double value = 0, slack = 8 * kLeast;

  void Add(long double x, long double factor) {
    const long double term = std::exp(x) * factor;
    value += term;
    slack += 1e-13L * std::abs(term);
    if (x < -700) slack += kLeast * std::abs(factor);
  }
};

struct SlowSums {
  SlowSum own, lane, difference;
};

SlowSums SumSlowly(const float* z, float largest, const float* lane,
                   float lane_largest, int64_t n) {
  SlowSums sums;
  for (int64_t j = 0; j < n; ++j) {
    const long double x = static_cast<long double>(z[j]) - largest;
    sums.own.Add(x, 1);
    sums.lane.Add(static_cast<long double>(lane[j]) - lane_largest, 1);
    sums.difference.Add(x, static_cast<long double>(z[j]) - lane[j]);
  }
  return sums;
}

void ExpectSum(double got, const SlowSum& want) {
  EXPECT_LE(std::abs(got - want.value), want.slack)
      << got << " instead of " << want.value;
}

// `lanes` [count, ≥ n]; `largest` and `lane_largest` no less than any logit.
void ExpectDivergences(const cpu::RowKernels& kernels, const at::Tensor& z,
                       float largest, const at::Tensor& lanes,
                       const std::vector<float>& lane_largest) {
  constexpr double kUntouched = -7;
  const int64_t count = lanes.size(0), n = z.size(0);
  std::vector<double> lane_sums(static_cast<size_t>(count) + 1, kUntouched);
  std::vector<double> differences = lane_sums;
  cpu::DivergenceTerms terms;
  terms.logits = z.data_ptr<float>();
  terms.largest = largest;
  terms.lanes = lanes.data_ptr<float>();
  terms.lane_stride = lanes.size(1);
  terms.lane_largest = lane_largest.data();
  terms.lanes_count = count;
  terms.n = n;
  terms.lane_sums = lane_sums.data();
  terms.differences = differences.data();
  kernels.sum_divergences(terms);
  ExpectSum(terms.sum, SumSlowly(z.data_ptr<float>(), largest,
                                 z.data_ptr<float>(), largest, n)
                           .own);
  for (int64_t i = 0; i < count; ++i) {
    const SlowSums want = SumSlowly(z.data_ptr<float>(), largest,
                                    lanes.data_ptr<float>() + i * lanes.size(1),
                                    lane_largest[i], n);
    ExpectSum(lane_sums[i], want.lane);
    ExpectSum(differences[i], want.difference);
  }
  EXPECT_EQ(lane_sums.back(), kUntouched);
  EXPECT_EQ(differences.back(), kUntouched);
}

std::vector<float> LargestOf(const at::Tensor& lanes, float above) {
  std::vector<float> largest;
  for (int64_t i = 0; i < lanes.size(0); ++i)
    largest.push_back(lanes[i].max().item<float>() + above);
  return largest;
}

// A part of a vocabulary may lie as far below the largest logit as it likes.
TEST(RowKernelsTest, DivergencesEqualPlainLoopsHoweverFarBelowTheLargest) {
  at::manual_seed(9);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths)
      for (int64_t count = 0; count <= 7; ++count) {
        const at::Tensor z = at::randn({n}) * 5;
        const at::Tensor lanes = at::randn({count, n + 3}) * 5;
        for (const float below : {0.0f, 690.0f, 710.0f, 1e5f}) {
          ExpectDivergences(*kernels, z, z.max().item<float>() + below, lanes,
                            LargestOf(lanes, below));
          if (::testing::Test::HasFailure())
            FAIL() << n << " " << count << " " << below;
        }
      }
}

// Or single logits may: in a vector with others, where each needs its own.
TEST(RowKernelsTest, DivergencesEqualPlainLoopsWhereSomeLogitsAreFarBelow) {
  at::manual_seed(10);
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels())
    for (const int64_t n : kLengths)
      for (const float below : {690.0f, 710.0f, 1e5f}) {
        at::Tensor z = at::randn({n}) * 5;
        at::Tensor lanes = at::randn({3, n + 3}) * 5;
        for (int64_t j = 0; j < n; ++j) {
          if (j % 3 == 1) z[j] -= below;
          lanes[j % 2][j] -= below;
        }
        ExpectDivergences(*kernels, z, z.max().item<float>(), lanes,
                          LargestOf(lanes, 0));
        if (::testing::Test::HasFailure()) FAIL() << n << " " << below;
      }
}

TEST(RowKernelsTest, EqualLogitsHaveNoDifference) {
  at::manual_seed(11);
  const at::Tensor z = at::randn({5003}) * 5;
  const float largest = z.max().item<float>();
  for (const cpu::RowKernels* kernels : cpu::SupportedRowKernels()) {
    cpu::DivergenceTerms terms;
    double lane_sum = 0, difference = 0;
    terms.logits = terms.lanes = z.data_ptr<float>();
    terms.largest = largest;
    terms.lane_stride = terms.n = z.size(0);
    terms.lane_largest = &largest;
    terms.lanes_count = 1;
    terms.lane_sums = &lane_sum;
    terms.differences = &difference;
    kernels->sum_divergences(terms);
    EXPECT_EQ(lane_sum, terms.sum);
    EXPECT_EQ(difference, 0);
  }
}

}  // namespace
}  // namespace kvrecall
