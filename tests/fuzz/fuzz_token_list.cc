// The server's list of tokens.

#include <string>

#include "server/access/token_list.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

bool SameEntries(const TokenList& a, const TokenList& b) {
  return std::equal(
      a.entries().begin(), a.entries().end(), b.entries().begin(),
      b.entries().end(), [](const TokenEntry& x, const TokenEntry& y) {
        return x.name == y.name && x.scope == y.scope && x.digest == y.digest;
      });
}

}  // namespace

void FuzzTokenList(std::string_view input) {
  absl::StatusOr<TokenList> list = TokenList::Parse(input);
  RequireReadable(list.status());
  if (!list.ok()) return;
  const absl::StatusOr<TokenList> again = TokenList::Parse(list->Format());
  Require(again.ok(), "what Format writes can be read");
  Require(SameEntries(*list, *again), "Format keeps every entry");
  Require(list->Find(input) == nullptr, "a list is no token");
  if (list->entries().empty()) return;
  const std::string name = list->entries().front().name;
  Require(!list->Add(list->entries().front()).ok(), "no name stands twice");
  Require(list->Remove(name).ok() && !list->Remove(name).ok(),
          "a name goes once");
}

}  // namespace kvrecall
