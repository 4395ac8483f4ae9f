#pragma once

// A run's committed records, from a server or a database to a stream or a file.

#include <ostream>
#include <string>

#include "absl/status/status.h"

#include "client/run_source.h"

namespace kvrecall {

enum class ExportFormat {
  kJsonLines,  // see json_lines.h
  kCsv,        // see csv.h
};

// Writes the run: what is committed now, even if it goes on. Reads the records
// twice, first for the attempts that count, so that it never holds a run in
// memory.
absl::Status ExportRun(RunSource& source, const std::string& run_id,
                       ExportFormat format, std::ostream& out);

// The same into a file, which is there only when it is whole: it is written
// to `path`.part and renamed. ALREADY_EXISTS where `path` exists, unless
// `overwrite`.
absl::Status ExportRunToFile(RunSource& source, const std::string& run_id,
                             ExportFormat format, const std::string& path,
                             bool overwrite);

}  // namespace kvrecall
