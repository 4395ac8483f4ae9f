#include "common/records_db/export_file.h"

#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/records_db/reader.h"
#include "common/records_db/schema.h"
#include "common/records_db/schema_sql.h"
#include "common/records_db/sqlite.h"

namespace kvrecall {
namespace {

// What is taken over, in an order that keeps every reference true. `source` is
// the attached database; ?1 the run's key there.
constexpr const char* kCopies[] = {
    "INSERT INTO runs SELECT * FROM source.runs WHERE id = ?1",
    "INSERT INTO epochs SELECT * FROM source.epochs WHERE epoch IN "
    "(SELECT epoch FROM source.samples WHERE run = ?1)",
    "INSERT INTO samples SELECT * FROM source.samples WHERE run = ?1",
    "INSERT INTO sample_inputs SELECT * FROM source.sample_inputs "
    "WHERE sample IN (SELECT id FROM source.samples WHERE run = ?1)",
    "INSERT INTO lanes SELECT * FROM source.lanes WHERE run = ?1",
    "INSERT INTO gap_lanes SELECT * FROM source.gap_lanes WHERE run = ?1",
    "INSERT INTO steps SELECT * FROM source.steps WHERE run = ?1",
    "INSERT INTO step_recalls SELECT * FROM source.step_recalls "
    "WHERE run = ?1",
    "INSERT INTO step_gaps SELECT * FROM source.step_gaps WHERE run = ?1",
    "INSERT INTO sample_events SELECT * FROM source.sample_events "
    "WHERE run = ?1",
};

// Before it is complete nobody else knows of the file, and what a crash leaves
// is thrown away: it needs no journal.
absl::Status Fill(const std::string& database, std::string_view run_id,
                  const std::string& file, const std::function<bool()>& stop) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Database> made,
                   Database::Open(file, {.may_attach = true}));
  if (stop) made->StopWhen(stop);
  RETURN_IF_ERROR(made->Exec("PRAGMA journal_mode = OFF"));
  RETURN_IF_ERROR(made->Exec("PRAGMA synchronous = OFF"));
  RETURN_IF_ERROR(made->Exec(kSchemaSql));
  RETURN_IF_ERROR(made->AttachForReading(database, "source"));
  return InTransaction(*made, TransactionKind::kRead, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(
        const int64_t run,
        made->QueryInt("SELECT id FROM source.runs WHERE run_id = ?1", run_id));
    for (const char* copy : kCopies) {
      // A short statement ends before it asks.
      if (stop && stop())
        return absl::CancelledError(absl::StrCat(file, ": was stopped"));
      RETURN_IF_ERROR(made->Run(copy, run));
    }
    return absl::OkStatus();
  });
}

}  // namespace

absl::Status WriteRunFile(const std::string& database, std::string_view run_id,
                          const std::string& file,
                          const std::function<bool()>& stop) {
  // Whether there is such a run, in words of the reader's.
  ASSIGN_OR_RETURN(const std::unique_ptr<RecordsReader> reader,
                   RecordsReader::Open(database));
  RETURN_IF_ERROR(reader->GetRun(run_id).status());
  RETURN_IF_ERROR(CheckDatabasePath(file));
  std::error_code error;
  if (std::filesystem::exists(file, error))
    return absl::AlreadyExistsError(absl::StrCat(file, ": exists already"));
  const absl::Status status = Fill(database, run_id, file, stop);
  if (!status.ok()) std::filesystem::remove(file, error);
  return status;
}

}  // namespace kvrecall
