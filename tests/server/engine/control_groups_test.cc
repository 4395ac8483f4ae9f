#include "server/engine/control_groups.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>

namespace kvrecall {
namespace {

// A system of files that a test writes.
class CpuQuotaTest : public ::testing::Test {
 protected:
  CpuQuotaTest() {
    char name[] = "/tmp/kvrecall-test-XXXXXX";
    root_ = ::mkdtemp(name);
  }
  ~CpuQuotaTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  std::filesystem::path root_;
};

TEST_F(CpuQuotaTest, WithoutGroupsThereIsNone) {
  EXPECT_EQ(CpuQuota(root_), std::nullopt);
  EXPECT_EQ(UsableCpus(root_, 6), 6);
}

TEST_F(CpuQuotaTest, IsTheShareOfEachPeriod) {
  Write("sys/fs/cgroup/cpu.max", "250000 100000\n");
  EXPECT_EQ(CpuQuota(root_), 2.5);
  Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(CpuQuota(root_), std::nullopt);
}

TEST_F(CpuQuotaTest, TheLeastOfTheGroupsAroundTheProcessCounts) {
  Write("proc/self/cgroup", "0::/kubepods/pod1/box\n");
  Write("sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n");
  Write("sys/fs/cgroup/kubepods/pod1/cpu.max", "300000 100000\n");
  Write("sys/fs/cgroup/kubepods/cpu.max", "800000 100000\n");
  Write("sys/fs/cgroup/kubepods/pod2/cpu.max", "100000 100000\n");
  EXPECT_EQ(CpuQuota(root_), 3.0);
}

TEST_F(CpuQuotaTest, ReadsTheFirstVersionOfControlGroups) {
  Write("proc/self/cgroup", "5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n");
  Write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
  Write("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CpuQuota(root_), std::nullopt);
  Write("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "400000\n");
  EXPECT_EQ(CpuQuota(root_), 4.0);
}

TEST_F(CpuQuotaTest, NonsenseIsNoLimit) {
  for (const char* text : {"", "0 0", "100000 0", "-5 100000", "abc"}) {
    Write("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(CpuQuota(root_), std::nullopt) << text;
  }
}

TEST_F(CpuQuotaTest, ThreadsAreTheWholeProcessorsOfTheQuota) {
  Write("sys/fs/cgroup/cpu.max", "250000 100000");
  EXPECT_EQ(UsableCpus(root_, 16), 2);
  EXPECT_EQ(UsableCpus(root_, 1), 1) << "no more than it may run on";
  Write("sys/fs/cgroup/cpu.max", "20000 100000");
  EXPECT_EQ(UsableCpus(root_, 16), 1) << "one in any case";
  Write("sys/fs/cgroup/cpu.max", "9000000000000000000 1");
  EXPECT_EQ(UsableCpus(root_, 16), 16);
}

TEST(UsableCpusTest, AreThoseThatTheProcessMayRunOn) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(UsableCpus(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_GE(UsableCpus(), 1);
  EXPECT_LE(UsableCpus(), CPU_COUNT(&before));
}

}  // namespace
}  // namespace kvrecall
