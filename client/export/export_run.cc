#include "client/export/export_run.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>

#include "client/export/csv.h"
#include "client/export/json_lines.h"
#include "client/whole_file.h"
#include "common/base/status_macros.h"

namespace kvrecall {

namespace {

// Gives the run's events to a writer of one of the formats.
template <typename Writer>
absl::Status WriteRun(RunSource& source, const RunInfo& run,
                      const EventParts& parts, Writer writer) {
  RETURN_IF_ERROR(source.ReadRecords(
      run.run_id, run.last_sequence, parts,
      [&writer](const Event& event) { return writer.Add(event); }));
  return writer.Finish();
}

}  // namespace

absl::Status ExportRun(RunSource& source, const std::string& run_id,
                       const ExportForm& form, std::ostream& out) {
  ASSIGN_OR_RETURN(const RunInfo run, source.GetRun(run_id));
  std::map<std::string, int64_t> last_attempts;
  constexpr EventParts kNumbers = {.lost = false};
  RETURN_IF_ERROR(source.ReadRecords(
      run_id, run.last_sequence, kNumbers, [&](const Event& event) {
        int64_t& attempt = last_attempts[event.sample_id];
        attempt = std::max(attempt, event.attempt);
        return absl::OkStatus();
      }));
  return form.format == ExportFormat::kCsv
             ? WriteRun(
                   source, run, kNumbers,
                   CsvWriter(out, run, std::move(last_attempts), form.columns))
             : WriteRun(source, run, EventParts(),
                        JsonLinesWriter(out, run, std::move(last_attempts)));
}

absl::Status ExportRunToFile(RunSource& source, const std::string& run_id,
                             const ExportForm& form, const std::string& path,
                             bool overwrite) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WholeFile> file,
                   WholeFile::Create(path, overwrite));
  const absl::Status written = ExportRun(source, run_id, form, file->stream());
  // A full disk is what went wrong, whatever the writer made of it.
  RETURN_IF_ERROR(file->Check());
  RETURN_IF_ERROR(written);
  return file->Commit();
}

}  // namespace kvrecall
