#pragma once

// Which of LongBench's files are there. Thread-safe: no shared state.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "client/environment.h"

namespace kvrecall {

struct DatasetFile {
  std::string dataset;
  std::vector<std::string> tasks;  // that take its samples
  std::string path;                // empty: there is none
  int64_t samples = 0;             // lines that are not blank
  int64_t bytes = 0;
  std::string problem;  // why it cannot be read, else empty
};

// Every data set of LongBench, in the order of LongBenchDatasets. `folder` is
// searched, or, where that is empty, the folders that every command searches
// (client/data.h). Lines are counted, not checked. NOT_FOUND where a folder
// that is named does not exist.
absl::StatusOr<std::vector<DatasetFile>> TakeInventory(
    const std::string& folder, const Environment& environment);

}  // namespace kvrecall
