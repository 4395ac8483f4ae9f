#include "server/huge_pages.h"

#include "ATen/ATen.h"
#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(HugePagesTest, LargeAndSmallTensorsAreZeros) {
  for (const int64_t size : {3, 4 << 20}) {
    at::Tensor t = ZerosOnHugePages({2, size}, at::kByte);
    EXPECT_EQ(t.sizes(), (std::vector<int64_t>{2, size}));
    EXPECT_EQ(t.max().item<uint8_t>(), 0);
    t.fill_(7);
    EXPECT_EQ(t.min().item<uint8_t>(), 7);
  }
}

// Each on lines of its own, of whatever type, and alive as long as one is.
TEST(HugePagesTest, SharedTensorsDoNotOverlap) {
  for (const int64_t columns : {5, 200'000}) {
    std::vector<at::Tensor> tensors;
    {
      SharedHugePages memory;
      memory.Add({3, columns}, at::kDouble);
      memory.Add({1, columns}, at::kShort);
      memory.Add({2, columns}, at::kFloat);
      tensors = {memory.Take({3, columns}, at::kDouble, at::kCPU),
                 memory.Take({1, columns}, at::kShort, at::kCPU),
                 memory.Take({2, columns}, at::kFloat, at::kCPU)};
    }
    for (const at::Tensor& tensor : tensors) {
      EXPECT_EQ(tensor.abs().max().to(at::kDouble).item<double>(), 0);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64, 0u);
    }
    for (size_t i = 0; i < tensors.size(); ++i)
      tensors[i].fill_(static_cast<double>(i + 1));
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].min().to(at::kDouble).item<double>(), i + 1.0);
      EXPECT_EQ(tensors[i].max().to(at::kDouble).item<double>(), i + 1.0);
    }
  }
}

}  // namespace
}  // namespace kvrecall
