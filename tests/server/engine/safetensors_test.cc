#include "server/engine/safetensors.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/reference/random_checkpoint.h"

namespace kvrecall {
namespace {

std::string File(const std::string& header, const std::string& payload) {
  std::string file(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  return file + header + payload;
}

absl::StatusOr<std::map<std::string, TensorView>> Parse(
    const std::string& file) {
  return ParseSafetensors(std::as_bytes(std::span(file)));
}

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
};

TEST(SafetensorsTest, ReadsShapeDtypeAndBytes) {
  const std::string file =
      File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
           R"("__metadata__":{"format":"pt"}})",
           "12345678");
  auto tensors = Parse(file);
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  const TensorView& a = tensors->at("a");
  EXPECT_EQ(a.dtype, "F32");
  EXPECT_EQ(a.shape, std::vector<int64_t>{2});
  EXPECT_EQ(a.data.size(), 8u);
}

TEST(SafetensorsTest, RefusesWhatDoesNotFit) {
  const std::vector<std::string> broken = {
      "",
      "1234567",
      std::string(8, '\xff') + "{}",
      File("[]", ""),
      File("{", ""),
      File(R"({"a":1})", ""),
      File(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "1234"),
      File(R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "1234"),
      File(R"({"a":{"dtype":"F32","shape":[1]}})", "1234"),
      File(R"({"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}})", "1234"),
      File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,5]}})", "1234"),
      File(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234"),
      File(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234"),
      File(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})",
           "1234"),
      File(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],)"
           R"("data_offsets":[0,4]}})",
           "1234"),
      // Its product with the other is 0.
      File(R"({"a":{"dtype":"F32","shape":[0,18446744073709551615],)"
           R"("data_offsets":[0,0]}})",
           ""),
  };
  for (const std::string& file : broken)
    EXPECT_EQ(Parse(file).status().code(), absl::StatusCode::kInvalidArgument)
        << file;
}

TEST_F(CheckpointTest, ShardsReadLikeOneFile) {
  WriteRandomCheckpoint(TinyShape(), directory_ + "/one");
  WriteRandomCheckpoint(TinyShape(), directory_ + "/three", 3);
  auto one = Checkpoint::Open(directory_ + "/one");
  auto three = Checkpoint::Open(directory_ + "/three");
  ASSERT_TRUE(one.ok() && three.ok()) << one.status() << three.status();
  EXPECT_EQ((*three)->files().size(), 3u);
  EXPECT_EQ((*one)->TotalBytes(), (*three)->TotalBytes());
  ASSERT_EQ((*one)->Names(), (*three)->Names());
  for (const std::string& name : (*one)->Names()) {
    const auto a = (*one)->Find(name)->data, b = (*three)->Find(name)->data;
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size()), 0) << name;
  }
}

TEST_F(CheckpointTest, NamesTheFileThatIsMissingOrBroken) {
  EXPECT_EQ(Checkpoint::Open(directory_).status().code(),
            absl::StatusCode::kNotFound);
  WriteRandomCheckpoint(TinyShape(), directory_, 2);
  const std::string shard = directory_ + "/model-2-of-2.safetensors";
  std::filesystem::resize_file(shard, 1000);
  auto cut = Checkpoint::Open(directory_);
  EXPECT_NE(cut.status().message().find("model-2-of-2.safetensors"),
            std::string::npos)
      << cut.status();
  std::filesystem::remove(shard);
  EXPECT_FALSE(Checkpoint::Open(directory_).ok());
  std::ofstream(directory_ + "/model.safetensors.index.json")
      << R"({"weight_map":{"a":"../../etc/passwd"}})";
  EXPECT_EQ(Checkpoint::Open(directory_).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvrecall
