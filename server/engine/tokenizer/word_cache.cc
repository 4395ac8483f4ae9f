#include "server/engine/tokenizer/word_cache.h"

#include <functional>

namespace kvrecall {

size_t WordCache::ShardOf(std::string_view word) {
  return std::hash<std::string_view>{}(word) % kShards;
}

bool WordCache::Append(std::string_view word, std::vector<int64_t>& ids) const {
  if (word.size() > kMaxWordBytes) return false;
  const Shard& shard = shards_[ShardOf(word)];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.words.find(absl::string_view(word.data(), word.size()));
  if (it == shard.words.end()) return false;
  ids.insert(ids.end(), it->second.begin(), it->second.end());
  return true;
}

void WordCache::Insert(std::string_view word, const int64_t* ids,
                       size_t count) {
  if (word.size() > kMaxWordBytes) return;
  Shard& shard = shards_[ShardOf(word)];
  const std::lock_guard lock(shard.mutex);
  if (shard.words.size() >= per_shard_) return;
  shard.words.try_emplace(std::string(word), ids, ids + count);
}

}  // namespace kvrecall
