#pragma once

// A bounded memo from words to their token ids. Thread-safe: shards with a
// mutex each. A shard that is full takes no more, as in the `tokenizers`
// library: text repeats its frequent words early.

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace kvrecall {

class WordCache {
 public:
  // Longer words are rarely seen twice and are not kept.
  static constexpr size_t kMaxWordBytes = 64;
  static constexpr size_t kShards = 16;

  // At most `capacity` words altogether, rounded down to full shards.
  explicit WordCache(size_t capacity) : per_shard_(capacity / kShards) {}

  // Appends the word's ids and returns true if they are known.
  bool Append(std::string_view word, std::vector<int64_t>& ids) const;

  void Insert(std::string_view word, const int64_t* ids, size_t count);

 private:
  struct Shard {
    mutable std::mutex mutex;
    // Guarded by mutex.
    absl::flat_hash_map<std::string, std::vector<int32_t>> words;
  };

  static size_t ShardOf(std::string_view word);

  size_t per_shard_;
  std::array<Shard, kShards> shards_;
};

}  // namespace kvrecall
