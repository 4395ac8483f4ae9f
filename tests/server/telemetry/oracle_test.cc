#include "server/telemetry/oracle.h"

#include <gtest/gtest.h>

namespace kvrecall {
namespace {

TEST(OraclePolicyTest, IsTheGoldSet) { EXPECT_TRUE(OraclePolicy().is_gold()); }

}  // namespace
}  // namespace kvrecall
