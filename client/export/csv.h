#pragma once

// A run's recalls as a table in CSV (RFC 4180): one row per step, policy, scope
// and budget, with the names of the database's view `recalls`. What is not
// defined is an empty cell. Not thread-safe.

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

#include "common/record/record.h"
#include "common/record/run_info.h"

namespace kvrecall {

// The names of all columns, in their order.
std::vector<std::string> CsvColumns();

// INVALID_ARGUMENT names the first that is no column, the columns there are, or
// one that is given twice.
absl::Status CheckCsvColumns(const std::vector<std::string>& columns);

class CsvWriter {
 public:
  // `last_attempts`: the attempt that counts, by sample; events of others are
  // left out. `columns`: checked; empty: all. `out` outlives this. Writes the
  // header.
  CsvWriter(std::ostream& out, const RunInfo& run,
            std::map<std::string, int64_t> last_attempts,
            const std::vector<std::string>& columns = {});

  // Events in the order of their sequence. DATA_LOSS if a step has not one
  // recall per lane; RESOURCE_EXHAUSTED if the output cannot be written.
  absl::Status Add(const Event& event);

  // Call once, last.
  absl::Status Finish();

 private:
  std::ostream& out_;
  const RunInfo run_;
  const std::map<std::string, int64_t> last_attempts_;
  const std::vector<Lane> lanes_;
  std::vector<size_t> columns_;  // into those of CsvColumns()
};

// A cell: quoted where it holds a quote, a comma or a line end.
std::string CsvCell(const std::string& text);

}  // namespace kvrecall
