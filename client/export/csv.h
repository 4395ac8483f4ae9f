#pragma once

// A run's recalls as a table in CSV (RFC 4180): one row per step, policy, scope
// and budget, with the names of the database's view `recalls`. What is not
// defined is an empty cell. Not thread-safe.

#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"

#include "common/record/record.h"
#include "common/record/run_info.h"

namespace kvrecall {

class CsvWriter {
 public:
  // `last_attempts`: the attempt that counts, by sample; events of others are
  // left out. `out` outlives this. Writes the header.
  CsvWriter(std::ostream& out, const RunInfo& run,
            std::map<std::string, int64_t> last_attempts);

  // Events in the order of their sequence. DATA_LOSS if a step has not one
  // recall per lane; RESOURCE_EXHAUSTED if the output cannot be written.
  absl::Status Add(const Event& event);

  // Call once, last.
  absl::Status Finish();

 private:
  std::ostream& out_;
  const std::string run_id_;
  const std::map<std::string, int64_t> last_attempts_;
  std::vector<std::string> lanes_;  // "policy,scope,budget" of each
};

// A cell: quoted where it holds a quote, a comma or a line end.
std::string CsvCell(const std::string& text);

}  // namespace kvrecall
