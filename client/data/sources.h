#pragma once

// What a user gives to be imported: files, folders and zip archives, taken
// apart into the files of LongBench that they have. Not thread-safe.

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "client/data/zip_archive.h"

namespace kvrecall {

// A file that has the samples of a data set, going by its name.
struct DataSource {
  std::string dataset;
  // As messages name it: "data.zip: data/hotpotqa.jsonl".
  std::string shown;
  // Gives its bytes; INVALID_ARGUMENT, with the name, where it cannot be read.
  std::function<absl::Status(ByteSink)> read;
};

struct DataSources {
  // In the order of LongBenchDatasets, one for each data set at most.
  std::vector<DataSource> files;
  // JSONL files that are named after no data set of LongBench.
  std::vector<std::string> skipped;
};

// Looks at each path: a file <dataset>.jsonl; a folder with such files, in it
// or in its data/; a zip archive with such members, whatever their folders.
// Only names are looked at. NOT_FOUND where a path does not exist;
// INVALID_ARGUMENT where it is none of these or a broken archive, where two
// files have one data set, and where there is no file of LongBench's at all.
absl::StatusOr<DataSources> FindDataSources(
    const std::vector<std::string>& paths);

}  // namespace kvrecall
