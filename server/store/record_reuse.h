#pragma once

// Records that were computed before stand for those of a sample that asks for
// the same: a run that was cancelled, or submitted again, computes only what is
// missing. On the writer thread, inside one of its transactions.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "common/records_db/sqlite.h"
#include "server/store/event_log.h"

namespace kvrecall {

// Digest of all that a sample's records follow from: the run's configuration
// and provenance as JSON (program, model, tokenizer, device, threads, kernels
// among it), and the sample's own digest. The same key, the same bits.
std::string RecordKey(std::string_view config, std::string_view provenance,
                      std::string_view sample_digest);

// Appends the events of a finished sample with the same key to a leased one,
// which thereby ends too, its start saying whose they are. False, and nothing
// done: there is none that can be read, or the run wants its own.
absl::StatusOr<bool> ReuseRecords(Database& database, EventLog& log,
                                  const LeaseKey& key, absl::Time now,
                                  Changes& changes);

}  // namespace kvrecall
