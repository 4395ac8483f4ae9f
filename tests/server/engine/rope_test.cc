// RoPE against what Hugging Face transformers computes:
// tests/golden/rope_golden.py makes the expected values.

#include "server/engine/rope.h"

#include <cmath>

#include "ATen/ATen.h"
#include <gtest/gtest.h>

#include "server/engine/rope_config.h"
#include "tests/reference/golden.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

RopeConfig ConfigOf(const Json& golden_case) {
  const Json& json = golden_case["config"];
  const auto config = ParseRopeConfig(json, json["max_position_embeddings"]);
  EXPECT_TRUE(config.ok()) << golden_case["name"] << ": " << config.status();
  return config.value_or(RopeConfig());
}

// How far `got` is from `want` > 0, in units of its last place.
double Ulps(float got, float want) {
  return std::abs(static_cast<double>(got) - want) /
         (std::nextafter(want, 2 * want) - want);
}

TEST(RopeTest, FrequenciesAreThoseOfTransformers) {
  const Json golden = ReadGolden("tests/golden/rope.json.gz");
  int values = 0, different = 0;
  double worst = 0;
  for (const Json& golden_case : golden["cases"]) {
    const RopeConfig config = ConfigOf(golden_case);
    EXPECT_NEAR(config.attention_factor,
                golden_case["attention_factor"].get<double>(), 1e-15)
        << golden_case["name"];
    const std::vector<float> want = golden_case["inverse_frequencies"];
    const at::Tensor got = InverseFrequencies(config, golden_case["head_dim"]);
    ASSERT_EQ(got.numel(), static_cast<int64_t>(want.size()));
    ASSERT_EQ(got.scalar_type(), at::kFloat);
    for (size_t i = 0; i < want.size(); ++i) {
      const double ulps = Ulps(got.data_ptr<float>()[i], want[i]);
      EXPECT_LE(ulps, 4) << golden_case["name"] << " " << i;
      ++values;
      if (ulps > 0) ++different;
      worst = std::max(worst, ulps);
    }
  }
  std::printf("[ figures  ] %d frequencies, %d not bit for bit, by %.0f ulp\n",
              values, different, worst);
  EXPECT_GT(values, 0);
}

TEST(RopeTest, CosineAndSineAreThoseOfTransformers) {
  const Json golden = ReadGolden("tests/golden/rope.json.gz");
  const std::vector<int64_t> at = golden["positions"];
  const at::Tensor positions = at::tensor(at, at::kLong);
  double worst = 0;
  for (const Json& golden_case : golden["cases"]) {
    const int64_t head_dim = golden_case["head_dim"];
    const Rope rope(ConfigOf(golden_case), head_dim, at.back() + 1, at::kCPU);
    const Rope::Angles angles = rope.At(positions);
    const std::vector<float> cos = golden_case["cos"];
    const std::vector<float> sin = golden_case["sin"];
    const auto compare = [&](const std::vector<float>& want,
                             const at::Tensor& got) {
      ASSERT_EQ(got.numel(), static_cast<int64_t>(want.size()));
      for (size_t i = 0; i < want.size(); ++i)
        worst = std::max<double>(worst,
                                 std::abs(got.data_ptr<float>()[i] - want[i]));
    };
    compare(cos, angles.cos);
    compare(sin, angles.sin);
  }
  std::printf("[ figures  ] worst difference of cosine or sine %.2g\n", worst);
  // A last place of a frequency is 2⁻²⁴ of it, times position 4000.
  EXPECT_LE(worst, 1e-3);
}

}  // namespace
}  // namespace kvrecall
