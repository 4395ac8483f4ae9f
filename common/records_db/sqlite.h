#pragma once

// A thin RAII layer over SQLite's C interface. Values travel as bound
// parameters only; errors become absl::Status with the database's path.
//
// A Database and its Statements are used by one thread at a time (the
// connection has no mutex of its own). Statements must not outlive their
// Database.
//
// Status codes: ResourceExhausted (disk full, no memory), Unavailable (locked
// by another process), DataLoss (corrupt, or not a database), NotFound,
// PermissionDenied, FailedPrecondition (cannot be opened), Internal (I/O
// error, and all else).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/base/status_macros.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kvrecall {

class Database;

// Why a statement failed.
enum class DatabaseFault { kBusy, kFull, kInputOutput, kCorrupt, kOther };

// Bytes to be bound as a BLOB; strings are bound as TEXT.
struct Blob {
  std::string_view bytes;
};

// A prepared statement on loan from its Database's cache. It is reset and
// given back when the Statement is destroyed.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Binds ?1, ?2 … in order: integers, doubles, text, Blob, std::nullopt and
  // std::optional of these. Text and blobs are copied.
  template <typename... Args>
  absl::Status Bind(const Args&... args) {
    int index = 0;
    int code = 0;
    ((code = code != 0 ? code : BindOne(++index, args)), ...);
    return code == 0 ? absl::OkStatus() : Error(code);
  }

  // True: a row can be read. False: there are no more.
  absl::StatusOr<bool> Step();

  // Runs a statement to its end and makes it ready for the next Bind. Rows
  // are skipped.
  absl::Status Run();

  // Columns of the current row, from 0. Views are valid until the next call.
  bool IsNull(int column) const;
  int64_t Int(int column) const;
  double Double(int column) const;
  std::optional<double> OptionalDouble(int column) const;
  std::string_view Text(int column) const;
  std::string_view Bytes(int column) const;

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* handle, bool* lent)
      : database_(database), handle_(handle), lent_(lent) {}

  template <typename T>
  int BindOne(int index, const T& value) {
    if constexpr (std::is_same_v<T, std::nullopt_t>) {
      return BindNull(index);
    } else if constexpr (std::is_integral_v<T>) {
      return BindInt(index, value);
    } else if constexpr (std::is_floating_point_v<T>) {
      return BindDouble(index, value);
    } else if constexpr (std::is_same_v<T, Blob>) {
      return BindBlob(index, value.bytes);
    } else if constexpr (std::is_convertible_v<T, std::string_view>) {
      return BindText(index, value);
    } else {  // std::optional
      return value.has_value() ? BindOne(index, *value) : BindNull(index);
    }
  }
  int BindNull(int index);
  int BindInt(int index, int64_t value);
  int BindDouble(int index, double value);
  int BindText(int index, std::string_view text);
  int BindBlob(int index, std::string_view bytes);
  absl::Status Error(int code) const;

  Database* database_;    // null after a move
  sqlite3_stmt* handle_;  // owned by the cache, or by this if lent_ is null
  bool* lent_;            // the cache's mark that the statement is on loan
};

// One connection.
class Database {
 public:
  struct Options {
    bool read_only = false;
    // The file cannot change: no locks, no -wal and -shm files. Needs
    // read_only.
    bool immutable = false;
    // AttachForReading may be called.
    bool may_attach = false;
    // How long a statement waits for a lock of another process.
    absl::Duration busy_timeout = absl::Seconds(5);
  };

  // Without read_only the file is made if it is not there.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        Options options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Statements are compiled once per connection and text.
  absl::StatusOr<Statement> Prepare(std::string_view sql);

  // Binds and runs one statement; rows are skipped.
  template <typename... Args>
  absl::Status Run(std::string_view sql, const Args&... args) {
    ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
    RETURN_IF_ERROR(statement.Bind(args...));
    return statement.Run();
  }

  // First column of the first row; NotFound if there is none.
  template <typename... Args>
  absl::StatusOr<int64_t> QueryInt(std::string_view sql, const Args&... args) {
    ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
    RETURN_IF_ERROR(statement.Bind(args...));
    ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return absl::NotFoundError(path_ + ": no row");
    return statement.Int(0);
  }

  // Makes another database's tables readable as `name`.table, and only
  // readable. NotFound: no such file.
  absl::Status AttachForReading(const std::string& path, std::string_view name);

  // A script of statements without parameters.
  absl::Status Exec(const std::string& script);

  int64_t Changes() const;       // rows changed by the last statement
  int64_t LastInsertId() const;  // of the last insert into a rowid table
  bool InTransaction() const;    // SQLite may have rolled back by itself
  absl::Status TruncateLog();    // checkpoints and empties the log

  // The same, but waits for nobody: false where others still read the log, as
  // much of which as they allow is in the database then. Outside a transaction.
  absl::StatusOr<bool> TryTruncateLog();

  // Makes `target` an exact copy, some pages at a time (SQLite's online
  // backup). `after_step` hears how many bytes of how many are there, and stops
  // the copying by an error. Inside a read transaction of this connection the
  // copy is of that transaction's state, whatever others write meanwhile.
  absl::Status CopyTo(
      Database& target,
      absl::FunctionRef<absl::Status(int64_t done, int64_t total)> after_step);

  // Statements fail with Cancelled soon after `stop` says so, which is asked
  // often and must be quick. A check of the whole file asks only between its
  // tables and rows, not while it walks through a table's pages.
  void StopWhen(std::function<bool()> stop);

  // `hook` hears of each call that fails, on the caller's thread.
  void OnFault(std::function<void(DatabaseFault)> hook);

  const std::string& path() const { return path_; }

 private:
  friend class Statement;
  struct Cached {
    sqlite3_stmt* handle = nullptr;
    bool lent = false;
  };

  Database(std::string path, sqlite3* handle)
      : path_(std::move(path)), handle_(handle) {}
  absl::Status Error(int code) const;
  void WaitForLocks(absl::Duration timeout);

  std::string path_;
  sqlite3* handle_;
  absl::Duration busy_timeout_;
  std::function<bool()> stop_;
  std::function<void(DatabaseFault)> on_fault_;
  std::unordered_map<std::string_view, Cached> cache_;  // keys: SQLite's copy
};

enum class TransactionKind {
  kRead,   // a snapshot, taken at the first read
  kWrite,  // takes the write lock at once
};

// Of the library that runs: "3.40.1". Thread-safe.
std::string SqliteVersion();

// Runs `body` between BEGIN and COMMIT; rolls back if it fails, or if COMMIT
// does. Not to be nested.
absl::Status InTransaction(Database& database, TransactionKind kind,
                           absl::FunctionRef<absl::Status()> body);

// Runs `body` so that its changes alone are undone if it fails. Inside a
// transaction. Where SQLite itself gave the whole transaction up (disk full),
// Database::InTransaction is false afterwards.
absl::Status InSavepoint(Database& database,
                         absl::FunctionRef<absl::Status()> body);

}  // namespace kvrecall
