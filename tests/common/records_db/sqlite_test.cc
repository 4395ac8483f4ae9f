#include "common/records_db/sqlite.h"

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/error_reason.h"
#include "tests/common/records_db/temp_dir.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

class SqliteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = Database::Open(dir_.File("a.db"), {});
    ASSERT_TRUE(database.ok()) << database.status();
    db_ = *std::move(database);
    ASSERT_TRUE(
        db_->Exec("CREATE TABLE t (a INTEGER, r REAL, s TEXT, b BLOB) STRICT")
            .ok());
  }
  int64_t Count() { return db_->QueryInt("SELECT count(*) FROM t").value(); }

  TempDir dir_;
  std::unique_ptr<Database> db_;
};

// Doubles come back with the same bits, the awkward ones included; SQLite has
// no negative zero, which becomes zero.
TEST_F(SqliteTest, DoublesAreBitExact) {
  for (const double value :
       {0.0, 1.0, -1.0, 0.1, 1.0 / 3, 5e-324, 2.2250738585072014e-308,
        std::numeric_limits<double>::max(), 9007199254740993.0, 1e18,
        std::numeric_limits<double>::infinity(), std::nextafter(1.0, 2.0)}) {
    ASSERT_TRUE(db_->Run("DELETE FROM t").ok());
    ASSERT_TRUE(db_->Run("INSERT INTO t (r) VALUES (?1)", value).ok());
    auto row = db_->Prepare("SELECT r FROM t");
    ASSERT_TRUE(row.ok() && row->Step().value());
    EXPECT_EQ(std::bit_cast<uint64_t>(row->Double(0)),
              std::bit_cast<uint64_t>(value))
        << value;
  }
  ASSERT_TRUE(db_->Run("UPDATE t SET r = ?1", -0.0).ok());
  auto row = db_->Prepare("SELECT r FROM t");
  ASSERT_TRUE(row.ok() && row->Step().value());
  EXPECT_EQ(row->Double(0), 0.0);
}

// Text and blobs keep NUL bytes; empty is not NULL; optionals can be NULL.
TEST_F(SqliteTest, BindsEveryKind) {
  const std::string text("a\0b", 3);
  ASSERT_TRUE(db_->Run("INSERT INTO t VALUES (?1, ?2, ?3, ?4)",
                       std::optional<int64_t>(), std::nullopt, text,
                       Blob{std::string_view("\0\xff", 2)})
                  .ok());
  ASSERT_TRUE(db_->Run("INSERT INTO t VALUES (?1, ?2, ?3, ?4)", true,
                       std::optional<double>(0.5), std::string_view(), Blob{})
                  .ok());
  auto row = db_->Prepare("SELECT a, r, s, b FROM t");
  ASSERT_TRUE(row.ok() && row->Step().value());
  EXPECT_TRUE(row->IsNull(0));
  EXPECT_EQ(row->OptionalDouble(1), std::nullopt);
  EXPECT_EQ(row->Text(2), text);
  EXPECT_EQ(row->Bytes(3), std::string_view("\0\xff", 2));
  ASSERT_TRUE(row->Step().value());
  EXPECT_EQ(row->Int(0), 1);
  EXPECT_EQ(row->OptionalDouble(1), 0.5);
  EXPECT_FALSE(row->IsNull(2));
  EXPECT_FALSE(row->IsNull(3));
  EXPECT_FALSE(row->Step().value());
}

TEST_F(SqliteTest, AFailedTransactionLeavesNothing) {
  const absl::Status status =
      InTransaction(*db_, TransactionKind::kWrite, [&]() -> absl::Status {
        RETURN_IF_ERROR(db_->Run("INSERT INTO t (a) VALUES (1)"));
        return absl::AbortedError("no");
      });
  EXPECT_TRUE(absl::IsAborted(status));
  EXPECT_FALSE(db_->InTransaction());
  EXPECT_EQ(Count(), 0);
}

TEST_F(SqliteTest, AFailedSavepointUndoesOnlyItself) {
  const absl::Status status =
      InTransaction(*db_, TransactionKind::kWrite, [&]() -> absl::Status {
        RETURN_IF_ERROR(db_->Run("INSERT INTO t (a) VALUES (1)"));
        EXPECT_FALSE(InSavepoint(*db_, [&]() -> absl::Status {
                       RETURN_IF_ERROR(
                           db_->Run("INSERT INTO t (a) VALUES (2)"));
                       return absl::AbortedError("no");
                     }).ok());
        return db_->Run("INSERT INTO t (a) VALUES (3)");
      });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(db_->QueryInt("SELECT sum(a) FROM t").value(), 4);
}

// A statement that is in use further up the stack is not disturbed.
TEST_F(SqliteTest, TheSameTextCanBeInUseTwice) {
  ASSERT_TRUE(db_->Run("INSERT INTO t (a) VALUES (1), (2)").ok());
  const char* sql = "SELECT a FROM t ORDER BY a";
  auto outer = db_->Prepare(sql);
  ASSERT_TRUE(outer.ok() && outer->Step().value());
  {
    auto inner = db_->Prepare(sql);
    ASSERT_TRUE(inner.ok() && inner->Step().value());
    EXPECT_EQ(inner->Int(0), 1);
  }
  ASSERT_TRUE(outer->Step().value());
  EXPECT_EQ(outer->Int(0), 2);
}

// Another connection's lock is Unavailable, a full file ResourceExhausted,
// wrong SQL Internal; each names the file.
TEST_F(SqliteTest, ErrorsAreMapped) {
  auto other =
      Database::Open(db_->path(), {.busy_timeout = absl::Milliseconds(1)});
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(InTransaction(*db_, TransactionKind::kWrite, [&] {
                const absl::Status locked =
                    (*other)->Run("INSERT INTO t (a) VALUES (1)");
                EXPECT_TRUE(absl::IsUnavailable(locked)) << locked;
                EXPECT_EQ(ReasonOf(locked), "DATABASE_BUSY");
                return absl::OkStatus();
              }).ok());

  ASSERT_TRUE(db_->Exec("PRAGMA max_page_count = 4").ok());
  const absl::Status full =
      db_->Run("INSERT INTO t (s) VALUES (?1)", std::string(100000, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr(db_->path()));

  EXPECT_TRUE(absl::IsInternal(db_->Run("no such statement")));
}

TEST_F(SqliteTest, AMissingFolderIsNotFound) {
  const auto database = Database::Open(dir_.File("none/a.db"), {});
  EXPECT_TRUE(absl::IsNotFound(database.status())) << database.status();
}

TEST_F(SqliteTest, AReadOnlyConnectionCannotWrite) {
  auto reader = Database::Open(db_->path(), {.read_only = true});
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(
      absl::IsPermissionDenied((*reader)->Run("INSERT INTO t (a) VALUES (1)")));
}

}  // namespace
}  // namespace kvrecall
