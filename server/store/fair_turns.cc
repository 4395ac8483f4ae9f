#include "server/store/fair_turns.h"

#include <algorithm>

namespace kvrecall {
namespace {

// A usual sample's tokens: smaller, and a turn takes more rounds; larger, and
// one client runs several short samples before the next has its turn.
constexpr int64_t kQuantum = 8192;

}  // namespace

size_t FairTurns::Next(const std::vector<Waiting>& waiting) {
  std::map<std::string, int64_t> saved;
  for (const Waiting& client : waiting) {
    const auto before = saved_.find(client.owner);
    saved[client.owner] = before == saved_.end() ? 0 : before->second;
  }
  saved_ = std::move(saved);

  // From the one whose turn it is; where it has gone, the next in order.
  size_t i = static_cast<size_t>(
      std::lower_bound(waiting.begin(), waiting.end(), current_,
                       [](const Waiting& client, const std::string& owner) {
                         return client.owner < owner;
                       }) -
      waiting.begin());
  const bool continues = i < waiting.size() && waiting[i].owner == current_;
  if (i == waiting.size()) i = 0;
  if (!continues) saved_[waiting[i].owner] += kQuantum;
  while (saved_[waiting[i].owner] < waiting[i].cost) {
    i = (i + 1) % waiting.size();
    saved_[waiting[i].owner] += kQuantum;
  }
  current_ = waiting[i].owner;
  saved_[current_] -= waiting[i].cost;
  return i;
}

}  // namespace kvrecall
