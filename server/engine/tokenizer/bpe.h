#pragma once

// Byte-level byte pair encoding. Immutable but for its word cache, which is
// thread-safe: any number of threads may encode at once.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"

#include "server/engine/tokenizer/word_cache.h"

namespace kvrecall {

// Model section of a tokenizer.json. Token strings are in the byte alphabet
// (byte_level.h).
struct BpeSpec {
  absl::flat_hash_map<std::string, int32_t> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // best first
  // A word that is a token stays whole, whatever the merges would make of it.
  bool ignore_merges = false;
};

class Bpe {
 public:
  // InvalidArgument: a merge names a token that the vocabulary lacks, an id is
  // given twice, or a byte that UTF-8 text may hold has no token.
  static absl::StatusOr<Bpe> Create(BpeSpec spec);

  // Appends the ids of one word of the pre-tokenizer, given as its own bytes.
  // Time is O(n log n) in the word's length.
  void EncodeWord(std::string_view word, std::vector<int64_t>& ids) const;

  // Token strings as in the file.
  const absl::flat_hash_map<std::string, int32_t>& vocabulary() const {
    return vocabulary_;
  }

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  Bpe() = default;
  absl::Status AddMerges(
      const std::vector<std::pair<std::string, std::string>>& merges);
  absl::Status AddBytes();
  const Merge* FindMerge(int32_t left, int32_t right) const;
  void MergeWord(std::string_view word, std::vector<int64_t>& ids) const;

  absl::flat_hash_map<std::string, int32_t> vocabulary_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // by both ids
  std::array<int32_t, 256> byte_ids_{};          // -1: no token
  bool ignore_merges_ = false;
  std::unique_ptr<WordCache> cache_;
};

}  // namespace kvrecall
