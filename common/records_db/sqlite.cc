#include "common/records_db/sqlite.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/error_reason.h"
#include "common/base/one_line.h"
#include "sqlite3.h"

namespace kvrecall {
namespace {

absl::StatusCode CodeOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_CANTOPEN:
      return absl::StatusCode::kFailedPrecondition;
    case SQLITE_TOOBIG:
      return absl::StatusCode::kInvalidArgument;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kCancelled;
    default:
      return absl::StatusCode::kInternal;
  }
}

DatabaseFault FaultOf(int sqlite_code) {
  switch (sqlite_code & 0xff) {
    case SQLITE_FULL:
      return DatabaseFault::kFull;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return DatabaseFault::kBusy;
    case SQLITE_IOERR:
      return DatabaseFault::kInputOutput;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DatabaseFault::kCorrupt;
    default:
      return DatabaseFault::kOther;
  }
}

// Why the operating system refused to open the file.
absl::Status OpenError(const std::string& path, int code, int system_error,
                       const char* message) {
  if ((code & 0xff) == SQLITE_CANTOPEN && system_error != 0) {
    const std::string words =
        absl::StrCat(path, ": cannot be opened: ", std::strerror(system_error));
    if (system_error == ENOENT) return absl::NotFoundError(words);
    if (system_error == EACCES) return absl::PermissionDeniedError(words);
    return absl::FailedPreconditionError(words);
  }
  return absl::Status(CodeOf(code), absl::StrCat(path, ": ", message));
}

// file: URI for a path, for the options that only a URI can carry.
std::string Uri(const std::string& path, const char* options) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      absl::StrAppend(&uri, "%", absl::Hex(c, absl::kZeroPad2));
    } else {
      uri += c;
    }
  }
  return uri + options;
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)),
      handle_(other.handle_),
      lent_(other.lent_) {}

Statement::~Statement() {
  if (database_ == nullptr) return;
  if (lent_ == nullptr) {
    sqlite3_finalize(handle_);
    return;
  }
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
  *lent_ = false;
}

absl::Status Statement::Error(int code) const { return database_->Error(code); }

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return Error(code);
}

absl::Status Statement::Run() {
  int code = SQLITE_ROW;
  while (code == SQLITE_ROW) code = sqlite3_step(handle_);
  // The error is read before the reset, which may replace its message.
  absl::Status status = code == SQLITE_DONE ? absl::OkStatus() : Error(code);
  sqlite3_reset(handle_);
  return status;
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

int64_t Statement::Int(int column) const {
  return sqlite3_column_int64(handle_, column);
}

double Statement::Double(int column) const {
  return sqlite3_column_double(handle_, column);
}

std::optional<double> Statement::OptionalDouble(int column) const {
  if (IsNull(column)) return std::nullopt;
  return Double(column);
}

std::string_view Statement::Text(int column) const {
  const auto* text =
      reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  if (text == nullptr) return {};
  return {text, static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

std::string_view Statement::Bytes(int column) const {
  const auto* bytes =
      static_cast<const char*>(sqlite3_column_blob(handle_, column));
  if (bytes == nullptr) return {};
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

int Statement::BindNull(int index) { return sqlite3_bind_null(handle_, index); }

int Statement::BindInt(int index, int64_t value) {
  return sqlite3_bind_int64(handle_, index, value);
}

int Statement::BindDouble(int index, double value) {
  return sqlite3_bind_double(handle_, index, value);
}

int Statement::BindText(int index, std::string_view text) {
  // A null pointer would bind NULL.
  return sqlite3_bind_text64(handle_, index,
                             text.data() == nullptr ? "" : text.data(),
                             text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

int Statement::BindBlob(int index, std::string_view bytes) {
  return sqlite3_bind_blob64(handle_, index,
                             bytes.data() == nullptr ? "" : bytes.data(),
                             bytes.size(), SQLITE_TRANSIENT);
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const std::string& path, Options options) {
  int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  flags |= options.read_only ? SQLITE_OPEN_READONLY
                             : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  std::string name = path;
  if (options.immutable || options.may_attach) {
    flags |= SQLITE_OPEN_URI;
    name = Uri(path, options.immutable ? "?immutable=1" : "");
  }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  // A handle is there even on failure, and carries the message.
  std::unique_ptr<Database> database(new Database(path, handle));
  if (code != SQLITE_OK) {
    return OpenError(path, code,
                     handle == nullptr ? 0 : sqlite3_system_errno(handle),
                     sqlite3_errstr(code));
  }
  database->busy_timeout_ = options.busy_timeout;
  database->WaitForLocks(options.busy_timeout);
  if (options.read_only) {
    sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    RETURN_IF_ERROR(database->Exec("PRAGMA wal_autocheckpoint = 0"));
  }
  return database;
}

Database::~Database() {
  for (const auto& [sql, cached] : cache_) sqlite3_finalize(cached.handle);
  sqlite3_close(handle_);
}

absl::Status Database::AttachForReading(const std::string& path,
                                        std::string_view name) {
  ASSIGN_OR_RETURN(Statement attach, Prepare("ATTACH ?1 AS ?2"));
  RETURN_IF_ERROR(attach.Bind(Uri(path, "?mode=ro"), name));
  return attach.Run();
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  const auto it = cache_.find(sql);
  if (it != cache_.end() && !it->second.lent) {
    it->second.lent = true;
    return Statement(this, it->second.handle, &it->second.lent);
  }
  sqlite3_stmt* handle = nullptr;
  const int code =
      sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) return Error(code);
  // The cached one is in use further up the stack: this one lives once.
  if (it != cache_.end()) return Statement(this, handle, nullptr);
  Cached& cached = cache_[sqlite3_sql(handle)];
  cached = {handle, true};
  return Statement(this, handle, &cached.lent);
}

absl::Status Database::Exec(const std::string& script) {
  const int code =
      sqlite3_exec(handle_, script.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

int64_t Database::Changes() const { return sqlite3_changes(handle_); }

int64_t Database::LastInsertId() const {
  return sqlite3_last_insert_rowid(handle_);
}

bool Database::InTransaction() const {
  return sqlite3_get_autocommit(handle_) == 0;
}

absl::Status Database::TruncateLog() {
  const int code = sqlite3_wal_checkpoint_v2(
      handle_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

absl::StatusOr<bool> Database::TryTruncateLog() {
  WaitForLocks(absl::ZeroDuration());
  const int code = sqlite3_wal_checkpoint_v2(
      handle_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  WaitForLocks(busy_timeout_);
  if (code == SQLITE_OK) return true;
  if ((code & 0xff) == SQLITE_BUSY) return false;
  return Error(code);
}

absl::Status Database::CopyTo(
    Database& target,
    absl::FunctionRef<absl::Status(int64_t done, int64_t total)> after_step) {
  // 4 MiB: often enough to be stopped, seldom enough to cost nothing.
  constexpr int kPagesPerStep = 1024;
  ASSIGN_OR_RETURN(const int64_t page_size, QueryInt("PRAGMA page_size"));
  sqlite3_backup* copy =
      sqlite3_backup_init(target.handle_, "main", handle_, "main");
  if (copy == nullptr) return target.Error(sqlite3_errcode(target.handle_));
  int code = SQLITE_OK;
  absl::Status stopped;
  while (code == SQLITE_OK && stopped.ok()) {
    code = sqlite3_backup_step(copy, kPagesPerStep);
    if (code != SQLITE_OK && code != SQLITE_DONE) break;
    const int64_t total = sqlite3_backup_pagecount(copy) * page_size;
    stopped =
        after_step(total - sqlite3_backup_remaining(copy) * page_size, total);
  }
  const int finished = sqlite3_backup_finish(copy);
  RETURN_IF_ERROR(stopped);
  if (code == SQLITE_DONE) code = finished;
  if (code == SQLITE_OK) return absl::OkStatus();
  // Either file's: SQLite does not say whose.
  return absl::Status(CodeOf(code), absl::StrCat(path_, " to ", target.path_,
                                                 ": ", sqlite3_errstr(code),
                                                 " (SQLite error ", code, ")"));
}

void Database::StopWhen(std::function<bool()> stop) {
  constexpr int kInstructions = 1000;  // some ten microseconds
  stop_ = std::move(stop);
  sqlite3_progress_handler(
      handle_, kInstructions,
      [](void* self) { return static_cast<Database*>(self)->stop_() ? 1 : 0; },
      this);
}

void Database::WaitForLocks(absl::Duration timeout) {
  sqlite3_busy_timeout(handle_,
                       static_cast<int>(absl::ToInt64Milliseconds(timeout)));
}

void Database::OnFault(std::function<void(DatabaseFault)> hook) {
  on_fault_ = std::move(hook);
}

absl::Status Database::Error(int code) const {
  if (on_fault_) on_fault_(FaultOf(code));
  absl::Status error(CodeOf(code),
                     absl::StrCat(path_, ": ", OneLine(sqlite3_errmsg(handle_)),
                                  " (SQLite error ", code, ")"));
  return absl::IsUnavailable(error)
             ? WithReason(std::move(error), "DATABASE_BUSY")
             : error;
}

std::string SqliteVersion() { return sqlite3_libversion(); }

absl::Status InTransaction(Database& database, TransactionKind kind,
                           absl::FunctionRef<absl::Status()> body) {
  RETURN_IF_ERROR(database.Run(
      kind == TransactionKind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED"));
  absl::Status status = body();
  if (status.ok()) status = database.Run("COMMIT");
  // What failed is told; that the way back fails too adds nothing.
  if (!status.ok() && database.InTransaction()) {
    database.Run("ROLLBACK").IgnoreError();
  }
  return status;
}

absl::Status InSavepoint(Database& database,
                         absl::FunctionRef<absl::Status()> body) {
  RETURN_IF_ERROR(database.Run("SAVEPOINT step"));
  absl::Status status = body();
  if (!database.InTransaction()) return status;
  if (!status.ok()) RETURN_IF_ERROR(database.Run("ROLLBACK TO step"));
  RETURN_IF_ERROR(database.Run("RELEASE step"));
  return status;
}

}  // namespace kvrecall
