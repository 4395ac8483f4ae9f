// Token-by-token parity of the model on a GPU with Hugging Face transformers,
// whose values in float32 tests/golden/parity_golden.py keeps. In bfloat16 the
// text is forced, and the bounds are those of eight bits.

#include "tests/reference/parity.h"

#include <algorithm>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/reference/golden.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

// Weights and activations of eight bits: a few percent, token by token.
void ExpectBfloat16Parity(const ParityTally& tally) {
  EXPECT_GT(tally.steps, 0);
  EXPECT_EQ(tally.other_counts, 0);
  EXPECT_LE(tally.other_tokens, tally.steps / 10 + 1);
  EXPECT_LE(tally.logit, 0.1);
  EXPECT_LE(tally.recall_error / std::max(tally.recalls, 1), 0.05);
}

void ExpectParity(const std::string& model, const std::string& golden,
                  int64_t chunk) {
  const auto exact =
      CompareWithGolden({model, golden, "cuda", "float32", chunk});
  ASSERT_TRUE(exact.ok()) << exact.status();
  ExpectFloat32Parity(*exact, NearTies::kMayDiffer);
  const auto rounded =
      CompareWithGolden({model, golden, "cuda", "bfloat16", chunk});
  ASSERT_TRUE(rounded.ok()) << rounded.status();
  ExpectBfloat16Parity(*rounded);
}

TEST(GpuParityTest, EmbeddedModelEqualsTransformers) {
  for (const int64_t chunk : {256, 7})
    ExpectParity("deploy/models/nano", "tests/golden/parity_nano.json.gz",
                 chunk);
}

TEST(GpuParityTest, RandomGqaCheckpointEqualsTransformers) {
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(CheckpointShape(), directory);
  for (const int64_t chunk : {256, 50})
    ExpectParity(directory, "tests/golden/parity_random.json.gz", chunk);
  std::filesystem::remove_all(directory);
}

// The checkpoint is written from the configuration in the golden file.
class GpuArchitectureTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GpuArchitectureTest, EqualsTransformers) {
  const std::string path =
      absl::StrCat("tests/golden/parity_", GetParam(), ".json.gz");
  const nlohmann::json golden = ReadGolden(path);
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(golden["config"], golden["storage"], directory);
  for (const int64_t chunk : {256, 50}) ExpectParity(directory, path, chunk);
  std::filesystem::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(Each, GpuArchitectureTest,
                         ::testing::Values("llama", "qwen3", "mistral"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace kvrecall
