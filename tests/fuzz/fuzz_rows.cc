// What a database's rows may hold where it was not the server that wrote them:
// a column's number, a type, a value, as often as there are bytes.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/small_database.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

// UPDATEs of every column that readers look at, one parameter each.
std::vector<std::string> Updates(Database& database) {
  auto columns = database.Prepare(
      "SELECT tables.name, columns.name FROM sqlite_schema AS tables, "
      "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' "
      "AND tables.name NOT IN ('epochs', 'lanes', 'gap_lanes') "
      "ORDER BY tables.name, columns.cid");
  Require(columns.ok(), "the columns are known");
  std::vector<std::string> updates;
  while (columns->Step().value_or(false))
    updates.push_back(absl::StrCat("UPDATE OR REPLACE ",
                                   std::string(columns->Text(0)), " SET ",
                                   std::string(columns->Text(1)), " = ?1"));
  return updates;
}

absl::Status Update(Database& database, const std::string& sql,
                    InputBytes& bytes) {
  switch (bytes.Byte() % 4) {
    case 0:
      return database.Run(sql, std::optional<std::string>());
    case 1:
      return database.Run(sql, bytes.Number());
    case 2:
      return database.Run(sql, bytes.Real());
    default:
      return database.Run(sql, std::string(bytes.Part()));
  }
}

void Overwrite(const std::string& path, InputBytes& bytes) {
  auto database = Database::Open(path, {});
  Require(database.ok(), "the small database can be opened");
  // Nobody needs it after a crash.
  (*database)->Exec("PRAGMA ignore_check_constraints = ON").IgnoreError();
  (*database)->Exec("PRAGMA synchronous = OFF").IgnoreError();
  (*database)->Exec("PRAGMA journal_mode = OFF").IgnoreError();
  static const std::vector<std::string> updates = Updates(**database);
  (*database)->Run("BEGIN").IgnoreError();
  while (!bytes.empty()) {
    const std::string& sql = updates[bytes.Byte() % updates.size()];
    // Some values no table takes: a key that is there twice, for example.
    Update(**database, sql, bytes).IgnoreError();
  }
  (*database)->Run("COMMIT").IgnoreError();
}

}  // namespace

void FuzzRows(std::string_view input) {
  static const std::string whole = SmallDatabase(/*strict=*/false);
  static const ScratchFile file("fuzz_rows");
  file.Write(whole);
  InputBytes bytes(input);
  Overwrite(file.path(), bytes);
  ReadEverything(file.path());
}

}  // namespace kvrecall
