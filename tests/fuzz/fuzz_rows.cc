// What a database's rows may hold where it was not the server that wrote them:
// two bytes for a column, a type, a value, as often as there are bytes.

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/small_database.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

// FNV-1a, folded to 16 bits: examples mean the same column in the next schema.
uint16_t NumberOf(std::string_view column) {
  uint32_t hash = 2166136261;
  for (const char c : column)
    hash = (hash ^ static_cast<uint8_t>(c)) * 16777619;
  return static_cast<uint16_t>(hash ^ (hash >> 16));
}

// UPDATEs of every column that readers look at, one parameter each.
std::map<uint16_t, std::string> Updates(Database& database) {
  auto columns = database.Prepare(
      "SELECT tables.name, columns.name FROM sqlite_schema AS tables, "
      "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' "
      "AND tables.name NOT IN ('epochs', 'lanes', 'gap_lanes') "
      "ORDER BY tables.name, columns.cid");
  Require(columns.ok(), "the columns are known");
  std::map<uint16_t, std::string> updates;
  while (columns->Step().value_or(false)) {
    const std::string table(columns->Text(0));
    const std::string column(columns->Text(1));
    updates.emplace(
        NumberOf(absl::StrCat(table, ".", column)),
        absl::StrCat("UPDATE OR REPLACE ", table, " SET ", column, " = ?1"));
  }
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
  static const std::map<uint16_t, std::string> updates = Updates(**database);
  (*database)->Run("BEGIN").IgnoreError();
  while (!bytes.empty()) {
    auto next = updates.lower_bound(bytes.Short());
    if (next == updates.end()) next = updates.begin();
    // Some values no table takes: a key that is there twice, for example.
    Update(**database, next->second, bytes).IgnoreError();
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
