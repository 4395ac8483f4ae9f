// Token-by-token parity with Hugging Face transformers and plain NumPy, in
// float32: tests/golden/parity_golden.py makes the expected values.

#include "tests/reference/parity.h"

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/reference/golden.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

void ExpectParity(const std::string& model, const std::string& golden,
                  int64_t chunk) {
  const auto tally =
      CompareWithGolden({model, golden, "cpu", "float32", chunk});
  ASSERT_TRUE(tally.ok()) << tally.status();
  ExpectFloat32Parity(*tally);
}

TEST(ParityTest, EmbeddedModelEqualsTransformers) {
  ExpectParity("deploy/models/nano", "tests/golden/parity_nano.json.gz", 256);
}

TEST(ParityTest, RandomGqaCheckpointEqualsTransformers) {
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(CheckpointShape(), directory);
  for (const int64_t chunk : {256, 50})
    ExpectParity(directory, "tests/golden/parity_random.json.gz", chunk);
  std::filesystem::remove_all(directory);
}

// The checkpoint is written from the configuration in the golden file.
class ArchitectureParityTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ArchitectureParityTest, EqualsTransformers) {
  const std::string path =
      absl::StrCat("tests/golden/parity_", GetParam(), ".json.gz");
  const nlohmann::json golden = ReadGolden(path);
  char name[] = "/tmp/kvrecall-test-XXXXXX";
  const std::string directory = ::mkdtemp(name);
  WriteRandomCheckpoint(golden["config"], golden["storage"], directory);
  for (const int64_t chunk : {256, 50}) ExpectParity(directory, path, chunk);
  std::filesystem::remove_all(directory);
}

INSTANTIATE_TEST_SUITE_P(Each, ArchitectureParityTest,
                         ::testing::Values("llama", "qwen3", "mistral"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace kvrecall
