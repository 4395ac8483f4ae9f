// CheckHfModel beside LoadHfModel: the same answers, without the weights.

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "server/engine/hf_model.h"
#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

class HfCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
    WriteRandomCheckpoint(TinyShape(), directory_, /*shards=*/2);
    options_.name = "tiny";
    options_.device = "cpu";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Both refuse, in the same words, which hold `words`.
  void ExpectTheSameRefusal(const std::string& words) const {
    const absl::Status checked = CheckHfModel(directory_, options_).status();
    const absl::Status loaded = LoadHfModel(directory_, options_).status();
    EXPECT_FALSE(checked.ok()) << words;
    EXPECT_EQ(checked, loaded);
    EXPECT_NE(checked.message().find(words), std::string::npos) << checked;
  }

  std::string directory_;
  HfModelOptions options_;
};

TEST_F(HfCheckTest, SaysWhatLoadingWouldMake) {
  for (const char* dtype : {"auto", "float32", "bfloat16"}) {
    for (const int64_t context : {0, 100}) {
      options_.dtype = dtype;
      options_.max_context = context;
      const auto checked = CheckHfModel(directory_, options_);
      const auto loaded = LoadHfModel(directory_, options_);
      ASSERT_TRUE(checked.ok()) << checked.status();
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      const ModelInfo& info = (*loaded)->info();
      EXPECT_EQ(checked->weight_bytes, info.weight_bytes);
      EXPECT_EQ(checked->context_window, info.context_window);
      EXPECT_EQ(checked->context_limit, info.context_limit);
      EXPECT_EQ(checked->dtype, info.dtype);
      EXPECT_EQ(checked->threads, info.threads);
      EXPECT_EQ(checked->kv_bytes_per_token, info.kv_bytes_per_token);
      EXPECT_EQ(checked->digest, "") << "it has not read the weights";
    }
  }
}

TEST_F(HfCheckTest, RefusesWhatLoadingRefuses) {
  options_.max_context = 1 << 20;
  ExpectTheSameRefusal("--max-context 1048576");
  options_.max_context = 0;
  options_.dtype = "int4";
  ExpectTheSameRefusal("dtype 'int4'");
  options_.dtype = "auto";
  // A file that was not copied to its end.
  const std::string shard = directory_ + "/model-2-of-2.safetensors";
  ASSERT_TRUE(std::filesystem::exists(shard));
  std::filesystem::resize_file(shard, std::filesystem::file_size(shard) - 4);
  ExpectTheSameRefusal("model-2-of-2.safetensors");
  std::filesystem::remove(shard);
  ExpectTheSameRefusal("model-2-of-2.safetensors");
}

TEST_F(HfCheckTest, RefusesTensorsOfAnotherShape) {
  CheckpointShape wider = TinyShape();
  wider.intermediate *= 2;
  const std::string other = directory_ + "/wider";
  WriteRandomCheckpoint(wider, other);
  std::filesystem::copy_file(other + "/config.json",
                             directory_ + "/config.json",
                             std::filesystem::copy_options::overwrite_existing);
  ExpectTheSameRefusal("config.json asks for [");
}

TEST_F(HfCheckTest, RefusesWeightsThatMemoryHasNoRoomFor) {
  options_.free_memory = [] { return int64_t{1000}; };
  const absl::Status status = CheckHfModel(directory_, options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find("the weights take 0.00 GiB as "),
            std::string::npos)
      << status;
}

}  // namespace
}  // namespace kvrecall
