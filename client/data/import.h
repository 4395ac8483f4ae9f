#pragma once

// Takes LongBench's files over into a data folder: checks every line, then puts
// them into place whole. Thread-safe: no shared state. Any number of processes
// may import into one folder.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

struct ImportedFile {
  enum class Change { kAdded, kReplaced, kAlreadyThere };

  std::string dataset;
  int64_t samples = 0;
  int64_t bytes = 0;
  Change change = Change::kAdded;
};

struct ImportResult {
  // In the order of LongBenchDatasets.
  std::vector<ImportedFile> files;
  // JSONL files that were given but are none of LongBench's.
  std::vector<std::string> skipped;
};

struct ImportOptions {
  // Made where it does not exist; the files are FOLDER/<dataset>.jsonl there.
  std::string folder;
  // Whether a file that is there with other bytes is replaced.
  bool replace = false;
  // Asked now and then; true ends the import. May be null.
  std::function<bool()> cancelled;
};

// Makes the folder, and those it is in, where they do not exist.
// FAILED_PRECONDITION where it cannot be made.
absl::Status MakeDataFolder(const std::string& folder);

// Imports what FindDataSources finds in `paths`. All or nothing, but for a
// folder that refuses a file at the very end: nothing is put into place before
// every file was read and checked. Fails as FindDataSources does; with
// INVALID_ARGUMENT for content that is no good, "FILE:LINE: reason" for a line
// that is no sample; ALREADY_EXISTS where files with other bytes are there and
// are not to be replaced; FAILED_PRECONDITION for a folder that cannot be
// written to, RESOURCE_EXHAUSTED where the disk takes no more; CANCELLED.
absl::StatusOr<ImportResult> ImportData(const std::vector<std::string>& paths,
                                        const ImportOptions& options);

}  // namespace kvrecall
