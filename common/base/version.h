#pragma once

// Which program this is: written into every run's provenance.

namespace kvrecall {

// Semantic version, "0.1.0".
extern const char kVersion[];

// The commit that was built, 12 hexadecimal digits; "unknown" where the
// sources were not a git checkout.
extern const char kCommit[];

}  // namespace kvrecall
