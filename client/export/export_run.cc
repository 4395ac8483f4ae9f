#include "client/export/export_run.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <system_error>

#include "absl/strings/str_cat.h"

#include "client/export/csv.h"
#include "client/export/json_lines.h"
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
  std::error_code error;
  if (!overwrite && std::filesystem::exists(path, error)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " exists; give --force to overwrite it"));
  }
  const std::string part = path + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  if (!file) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot write ", part, ": ", std::strerror(errno)));
  }
  absl::Status status = ExportRun(source, run_id, form, file);
  file.close();
  if (status.ok() && !file) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("cannot write ", part, ": is the disk full?"));
  }
  if (status.ok()) {
    std::filesystem::rename(part, path, error);
    if (!error) return status;
    status = absl::InvalidArgumentError(
        absl::StrCat("cannot rename ", part, ": ", error.message()));
  }
  std::filesystem::remove(part, error);
  return status;
}

}  // namespace kvrecall
