#pragma once

// Who may call: names, what they may do, and the digests of their tokens. The
// tokens themselves are nowhere on the server.
//
// As a file, a line an entry and '#' before remarks:
//
//   alice submit
//   9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//
// Plain value; const methods may be called from any thread.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "server/access/access_scope.h"

namespace kvrecall {

struct TokenEntry {
  std::string name;  // letters, digits and ._@- ; at most 64 of them
  AccessScope scope = AccessScope::kRead;
  std::string digest;  // SHA-256 of the token, 64 lower-case hexadecimal digits
};

class TokenList {
 public:
  // InvalidArgument names the line: not three words, a scope or digest that is
  // none, a name or digest that is there twice.
  static absl::StatusOr<TokenList> Parse(std::string_view text);
  // What Parse reads, with a heading.
  std::string Format() const;

  // The entry of a token, or null. Takes as long for any token: every digest is
  // compared, each in constant time.
  const TokenEntry* Find(std::string_view token) const;

  // InvalidArgument: not a name. AlreadyExists: there is one of that name.
  absl::Status Add(TokenEntry entry);
  // NotFound: there is none.
  absl::Status Remove(std::string_view name);

  std::span<const TokenEntry> entries() const { return entries_; }

 private:
  std::vector<TokenEntry> entries_;
};

// 256 random bits as "kvr_" and 43 characters of base64url: the prefix lets
// scanners for secrets know one.
std::string NewToken();

}  // namespace kvrecall
