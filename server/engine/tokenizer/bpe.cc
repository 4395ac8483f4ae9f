#include "server/engine/tokenizer/bpe.h"

#include <queue>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "server/engine/tokenizer/byte_level.h"

namespace kvrecall {
namespace {

constexpr size_t kCachedWords = 65536;

uint64_t PairKey(int32_t left, int32_t right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) |
         static_cast<uint32_t>(right);
}

// Bytes that no UTF-8 text holds need no token.
bool OccursInUtf8(int byte) {
  return byte != 0xC0 && byte != 0xC1 && byte < 0xF5;
}

// A token of the word under work; they are a doubly linked list.
struct Symbol {
  int32_t id;
  int32_t previous;  // -1: none
  int32_t next;      // -1: none
  bool removed;
};

struct Candidate {
  int32_t rank;
  int32_t position;  // of the left symbol
  int32_t id;        // of what the merge gives

  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : position > other.position;
  }
};

}  // namespace

absl::StatusOr<Bpe> Bpe::Create(BpeSpec spec) {
  Bpe bpe;
  bpe.ignore_merges_ = spec.ignore_merges;
  bpe.vocabulary_ = std::move(spec.vocabulary);
  bpe.cache_ = std::make_unique<WordCache>(kCachedWords);
  absl::flat_hash_set<int32_t> seen;
  seen.reserve(bpe.vocabulary_.size());
  for (const auto& [token, id] : bpe.vocabulary_)
    if (!seen.insert(id).second)
      return absl::InvalidArgumentError(
          absl::StrCat("model.vocab gives id ", id, " to '", OneLine(token),
                       "' and to another"));
  RETURN_IF_ERROR(bpe.AddMerges(spec.merges));
  RETURN_IF_ERROR(bpe.AddBytes());
  return bpe;
}

absl::Status Bpe::AddMerges(
    const std::vector<std::pair<std::string, std::string>>& merges) {
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    int32_t ids[3];
    const std::string* const tokens[2] = {&left, &right};
    const std::string merged = left + right;
    for (int i = 0; i < 3; ++i) {
      const std::string& token = i < 2 ? *tokens[i] : merged;
      const auto it = vocabulary_.find(token);
      if (it == vocabulary_.end())
        return absl::InvalidArgumentError(
            absl::StrCat("model.merges entry ", rank, " ('", OneLine(left),
                         "' + '", OneLine(right), "') needs the token '",
                         OneLine(token), "', which model.vocab does not have"));
      ids[i] = it->second;
    }
    // A pair that stands twice has its last rank, as in the library.
    merges_[PairKey(ids[0], ids[1])] = {static_cast<int32_t>(rank), ids[2]};
  }
  return absl::OkStatus();
}

absl::Status Bpe::AddBytes() {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string token =
        BytesToAlphabet(std::string(1, static_cast<char>(byte)));
    const auto it = vocabulary_.find(token);
    if (it == vocabulary_.end() && OccursInUtf8(byte))
      return absl::InvalidArgumentError(
          absl::StrCat("model.vocab has no token for byte ", byte, " ('", token,
                       "'): it is not a byte-level vocabulary"));
    byte_ids_[byte] = it == vocabulary_.end() ? -1 : it->second;
  }
  return absl::OkStatus();
}

const Bpe::Merge* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto it = merges_.find(PairKey(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::EncodeWord(std::string_view word, std::vector<int64_t>& ids) const {
  if (word.empty() || cache_->Append(word, ids)) return;
  const size_t start = ids.size();
  if (ignore_merges_) {
    const auto it = vocabulary_.find(BytesToAlphabet(word));
    if (it != vocabulary_.end()) ids.push_back(it->second);
  }
  if (ids.size() == start) MergeWord(word, ids);
  cache_->Insert(word, ids.data() + start, ids.size() - start);
}

// The library's algorithm step by step (its word.rs, merge_all): the order in
// which outdated candidates fall away is part of the result.
void Bpe::MergeWord(std::string_view word, std::vector<int64_t>& ids) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (const char byte : word) {
    const auto at = static_cast<int32_t>(symbols.size());
    symbols.push_back(
        {byte_ids_[static_cast<uint8_t>(byte)], at - 1, at + 1, false});
  }
  symbols.back().next = -1;

  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    if (const Merge* merge = FindMerge(symbols[left].id, symbols[right].id))
      queue.push({merge->rank, left, merge->id});
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols.size()); ++i)
    consider(i, i + 1);

  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.position];
    if (left.removed || left.next < 0) continue;
    Symbol& right = symbols[left.next];
    // The candidate is outdated if its symbols have merged with others.
    const Merge* merge = FindMerge(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) continue;
    left.id = best.id;
    left.next = right.next;
    right.removed = true;
    if (left.next >= 0) symbols[left.next].previous = best.position;
    consider(left.previous, best.position);
    consider(best.position, left.next);
  }
  for (int32_t i = 0; i >= 0; i = symbols[i].next) ids.push_back(symbols[i].id);
}

}  // namespace kvrecall
