#include "server/access/token_list.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "common/base/digest.h"
#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr size_t kDigestDigits = 64;
constexpr size_t kLongestName = 64;
constexpr size_t kTokenBytes = 32;

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '.' || c == '_' || c == '@' ||
                  c == '-';
         });
}

bool IsDigest(std::string_view text) {
  return text.size() == kDigestDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The entry of one line, or nothing where it has none.
absl::StatusOr<std::optional<TokenEntry>> ParseLine(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  TokenEntry entry;
  std::string scope, more;
  if (!(words >> entry.name)) return std::nullopt;
  if (!(words >> scope >> entry.digest) || words >> more)
    return absl::InvalidArgumentError(
        "write a name, a scope and a digest, separated by spaces");
  const std::optional<AccessScope> known = AccessScopeOf(scope);
  if (!known)
    return absl::InvalidArgumentError(
        absl::StrCat("scope '", OneLine(scope),
                     "' is none of read, submit and "
                     "admin"));
  entry.scope = *known;
  return entry;
}

}  // namespace

absl::StatusOr<TokenList> TokenList::Parse(std::string_view text) {
  TokenList list;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    absl::StatusOr<std::optional<TokenEntry>> entry = ParseLine(line);
    absl::Status bad = entry.status();
    if (bad.ok() && entry->has_value()) bad = list.Add(**std::move(entry));
    if (!bad.ok())
      return absl::InvalidArgumentError(
          absl::StrCat("line ", number, ": ", bad.message()));
  }
  return list;
}

std::string TokenList::Format() const {
  std::string text = "# Who may call: name, scope, SHA-256 of the token.\n";
  for (const TokenEntry& entry : entries_)
    absl::StrAppend(&text, entry.name, " ",
                    std::string(AccessScopeName(entry.scope)), " ",
                    entry.digest, "\n");
  return text;
}

const TokenEntry* TokenList::Find(std::string_view token) const {
  const std::string digest = Sha256Hex(token);
  const TokenEntry* found = nullptr;
  for (const TokenEntry& entry : entries_)
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), kDigestDigits) == 0)
      found = &entry;
  return found;
}

absl::Status TokenList::Add(TokenEntry entry) {
  if (!IsName(entry.name))
    return absl::InvalidArgumentError(
        absl::StrCat("name '", OneLine(entry.name), "': write at most ",
                     kLongestName, " letters, digits and ._@-"));
  if (!IsDigest(entry.digest))
    return absl::InvalidArgumentError(
        absl::StrCat("the digest of ", entry.name, " is not a SHA-256 of ",
                     kDigestDigits, " lower-case hexadecimal digits"));
  for (const TokenEntry& other : entries_) {
    if (other.name == entry.name)
      return absl::AlreadyExistsError(
          absl::StrCat("there is a token of ", entry.name));
    if (other.digest == entry.digest)
      return absl::AlreadyExistsError(
          absl::StrCat(entry.name, " has the same token as ", other.name));
  }
  entries_.push_back(std::move(entry));
  return absl::OkStatus();
}

absl::Status TokenList::Remove(std::string_view name) {
  const auto removed = std::remove_if(
      entries_.begin(), entries_.end(),
      [name](const TokenEntry& entry) { return entry.name == name; });
  if (removed == entries_.end())
    return absl::NotFoundError(
        absl::StrCat("there is no token of ", std::string(name)));
  entries_.erase(removed, entries_.end());
  return absl::OkStatus();
}

std::string NewToken() {
  std::array<unsigned char, kTokenBytes> bytes{};
  // Fails only where the system has no randomness; a weak token is worse.
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) std::abort();
  std::string text = absl::WebSafeBase64Escape(
      {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return absl::StrCat("kvr_", text);
}

}  // namespace kvrecall
