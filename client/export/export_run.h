#pragma once

// A run's committed records, from a server or a database to a stream or a file.

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "client/run_source.h"

namespace kvrecall {

enum class ExportFormat {
  kJsonLines,  // see json_lines.h
  kCsv,        // see csv.h
};

// Form of the records. `columns`: of kCsv alone, see CheckCsvColumns; empty:
// all.
struct ExportForm {
  ExportFormat format = ExportFormat::kJsonLines;
  std::vector<std::string> columns = {};
};

// Writes the run: what is committed now, even if it goes on. Reads the records
// twice, first for the attempts that count, so that it never holds a run in
// memory.
absl::Status ExportRun(RunSource& source, const std::string& run_id,
                       const ExportForm& form, std::ostream& out);

// The same into a file, which is there only when it is whole: it is written
// to `path`.part and renamed. ALREADY_EXISTS where `path` exists, unless
// `overwrite`.
absl::Status ExportRunToFile(RunSource& source, const std::string& run_id,
                             const ExportForm& form, const std::string& path,
                             bool overwrite);

}  // namespace kvrecall
