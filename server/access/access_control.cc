#include "server/access/access_control.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "server/thread_name.h"

namespace kvrecall {
namespace {

constexpr std::string_view kBearer = "Bearer ";

absl::StatusOr<TokenList> ParseFile(const std::string& path,
                                    std::string_view text) {
  absl::StatusOr<TokenList> tokens = TokenList::Parse(text);
  if (!tokens.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", tokens.status().message()));
  return tokens;
}

}  // namespace

absl::StatusOr<std::unique_ptr<AccessControl>> AccessControl::WithTokens(
    std::string path, absl::Duration reload) {
  ASSIGN_OR_RETURN(std::string text, ReadWholeFile(path));
  ASSIGN_OR_RETURN(TokenList tokens, ParseFile(path, text));
  std::unique_ptr<AccessControl> access(
      new AccessControl(std::move(path), std::move(text), std::move(tokens)));
  access->reloading_ = std::thread([access = access.get(), reload] {
    NameThread("tokens");
    access->Reload(reload);
  });
  return access;
}

AccessControl::AccessControl(std::string path, std::string text,
                             TokenList tokens)
    : path_(std::move(path)),
      text_(std::move(text)),
      tokens_(std::move(tokens)) {}

AccessControl::~AccessControl() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    stopping_.notify_one();
  }
  if (reloading_.joinable()) reloading_.join();
}

// Reads the whole file each time: it is small, and a time of change may stay
// the same when a file is replaced within its resolution.
void AccessControl::Reload(absl::Duration interval) {
  std::string last_complaint;
  std::unique_lock lock(mutex_);
  while (!stopping_.wait_for(lock, absl::ToChronoNanoseconds(interval),
                             [this] { return is_stopping_; })) {
    lock.unlock();
    absl::StatusOr<std::string> text = ReadWholeFile(path_);
    absl::StatusOr<TokenList> tokens =
        text.ok() ? ParseFile(path_, *text) : text.status();
    const bool has_changed = text.ok() && *text != text_;
    const std::string complaint(tokens.status().message());
    if (complaint != last_complaint && !complaint.empty())
      spdlog::error("{}; the tokens stay as they were", complaint);
    last_complaint = complaint;
    lock.lock();
    if (!has_changed || !tokens.ok()) continue;
    text_ = *std::move(text);
    tokens_ = *std::move(tokens);
    spdlog::info("{}: {} tokens", path_, tokens_.entries().size());
  }
}

absl::StatusOr<Caller> AccessControl::Admit(std::string_view authorization,
                                            std::string_view method) const {
  if (!needs_token()) return Caller{};
  if (authorization.empty())
    return absl::UnauthenticatedError(
        "this server wants a token: give one with --token-file or in "
        "KVRECALL_TOKEN");
  Caller caller;
  {
    const std::lock_guard lock(mutex_);
    const TokenEntry* entry =
        authorization.starts_with(kBearer)
            ? tokens_.Find(authorization.substr(kBearer.size()))
            : nullptr;
    if (entry == nullptr)
      return absl::UnauthenticatedError(
          "the token is not one of this server's: ask its operator for one");
    caller = {entry->name, entry->scope};
  }
  if (const AccessScope needed = ScopeNeededFor(method); caller.scope < needed)
    return absl::PermissionDeniedError(absl::StrCat(
        "this needs a token of scope ", std::string(AccessScopeName(needed)),
        "; that of ", caller.name, " has scope ",
        std::string(AccessScopeName(caller.scope))));
  return caller;
}

}  // namespace kvrecall
