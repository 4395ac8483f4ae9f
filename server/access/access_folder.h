#pragma once

// The folder that `kvrecall-server init` makes and `--access` names: a
// certificate authority, the server's certificate, and who may call. Keys are
// readable by their owner only. Not thread-safe; a server may run on the folder
// meanwhile: each file is replaced as a whole.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "server/access/access_scope.h"
#include "server/access/certificates.h"
#include "server/access/token_list.h"

namespace kvrecall {

class AccessFolder {
 public:
  explicit AccessFolder(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  // For clients, which need it to know the server.
  std::string authority() const { return path_ + "/ca.crt"; }
  std::string certificate() const { return path_ + "/server.crt"; }
  std::string key() const { return path_ + "/server.key"; }
  std::string tokens() const { return path_ + "/tokens"; }

  // Makes the folder, authority, server certificate and an empty token list.
  // AlreadyExists: there is an authority, whose certificates are in use
  // somewhere. FailedPrecondition: the place cannot be written.
  absl::Status Create(const std::vector<std::string>& hosts) const;
  // Makes a new server certificate by the same authority.
  absl::Status Renew(const std::vector<std::string>& hosts) const;

  // Adds a token and returns it; it is kept nowhere. AlreadyExists: there is
  // one of that name.
  absl::StatusOr<std::string> AddToken(const std::string& name,
                                       AccessScope scope) const;
  absl::Status RemoveToken(std::string_view name) const;
  absl::StatusOr<TokenList> ReadTokens() const;

  // Writes `prefix`.crt and `prefix`.key, for a client. AlreadyExists: there is
  // such a file.
  absl::Status IssueClientCertificate(const std::string& name,
                                      const std::string& prefix) const;

 private:
  absl::StatusOr<KeyPair> ReadAuthority() const;

  const std::string path_;
};

// kvrecall-server below $XDG_CONFIG_HOME, else below ~/.config.
// FailedPrecondition where neither that variable nor HOME is set.
absl::StatusOr<std::string> DefaultAccessFolder();

}  // namespace kvrecall
