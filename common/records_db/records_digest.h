#pragma once

// What a sample's records say, as one digest: the same numbers, bit for bit,
// give the same one, wherever and whenever they were computed. One thread at a
// time.

#include <string>

#include "common/base/digest.h"
#include "common/record/record.h"

namespace kvrecall {

class RecordsDigest {
 public:
  // The events of one attempt, in their order. Sequence, sample and attempt do
  // not count, nor how long things took or whose records they are.
  void Add(const Event& event);

  // Lower-case hexadecimal, 64 characters. Once, last.
  std::string HexDigest() { return digest_.HexDigest(); }

 private:
  Sha256 digest_;
};

}  // namespace kvrecall
