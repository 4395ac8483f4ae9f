#pragma once

// A database file that holds one run of another: what a laptop takes home. Any
// thread.

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace kvrecall {

// Makes `file`, which must not exist, from one committed state of `database`:
// the schema of the current version, the run and all that belongs to it, under
// the same keys. It is closed, has no log beside it, and is readable wherever a
// database is. `database` is only read, also while a server writes it.
// NotFound: no such run, or no such database. AlreadyExists: there is `file`.
// ResourceExhausted: the disk is full. Cancelled: `stop` (may be empty), which
// is asked often, said so. After an error there is no `file`.
absl::Status WriteRunFile(const std::string& database, std::string_view run_id,
                          const std::string& file,
                          const std::function<bool()>& stop = {});

}  // namespace kvrecall
