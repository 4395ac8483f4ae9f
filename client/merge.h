#pragma once

// What the user is told of a merge.

#include <string>
#include <vector>

#include "client/environment.h"
#include "common/records_db/merge_file.h"

namespace kvrecall {

// Prints the names of the runs that `file` has now, one a line, and on the
// error stream what they have and what is missing. True: they are whole, every
// sample of them is done.
bool ReportMerge(const Environment& environment,
                 const std::vector<MergedRun>& runs, const std::string& file);

}  // namespace kvrecall
