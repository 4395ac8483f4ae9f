#include "common/base/address.h"

#include "gtest/gtest.h"

namespace kvrecall {
namespace {

TEST(HostOfTest, IsWhatStandsBeforeThePort) {
  EXPECT_EQ(HostOf("gpu1.lab:50551"), "gpu1.lab");
  EXPECT_EQ(HostOf("[::1]:50551"), "::1");
  EXPECT_EQ(HostOf("10.0.0.1:1"), "10.0.0.1");
  EXPECT_EQ(HostOf("gpu1"), "gpu1");
}

TEST(IsLoopbackTest, KnowsTheAddressesOfThisMachineAlone) {
  for (const char* address : {"127.0.0.1:0", "127.1.2.3:80", "localhost:1",
                              "[::1]:50551", "unix:/tmp/socket"})
    EXPECT_TRUE(IsLoopback(address)) << address;
  for (const char* address :
       {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host:1",
        "localhost.example.org:1", "1270.0.0.1:1", "127.example.org:1"})
    EXPECT_FALSE(IsLoopback(address)) << address;
}

}  // namespace
}  // namespace kvrecall
