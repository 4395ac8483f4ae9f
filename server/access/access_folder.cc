#include "server/access/access_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/digest.h"
#include "common/base/read_file.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// An authority outlives its servers' certificates; these last as long as the
// common rules for certificates allow at most.
constexpr absl::Duration kAuthorityLifetime = absl::Hours(24 * 3650);
constexpr absl::Duration kLifetime = absl::Hours(24 * 825);

constexpr mode_t kPrivate = 0600;
constexpr mode_t kPublic = 0644;

absl::Status CannotWrite(const std::string& path) {
  return absl::FailedPreconditionError(
      absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
}

bool WriteAll(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(file) == 0;
}

// Never readable by more than `mode` allows, and whole once it has its name.
absl::Status WriteFile(const std::string& path, std::string_view text,
                       mode_t mode) {
  const std::string part = path + ".part";
  unlink(part.c_str());
  const int file =
      open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) return CannotWrite(path);
  const bool is_whole = WriteAll(file, text);
  close(file);
  if (!is_whole || rename(part.c_str(), path.c_str()) != 0) {
    const absl::Status failed = CannotWrite(path);
    unlink(part.c_str());
    return failed;
  }
  return absl::OkStatus();
}

absl::Status WritePair(const KeyPair& pair, const std::string& prefix) {
  RETURN_IF_ERROR(WriteFile(prefix + ".key", pair.key, kPrivate));
  return WriteFile(prefix + ".crt", pair.certificate, kPublic);
}

}  // namespace

absl::Status AccessFolder::Create(const std::vector<std::string>& hosts) const {
  if (std::filesystem::exists(path_ + "/ca.key") ||
      std::filesystem::exists(authority()))
    return absl::AlreadyExistsError(
        absl::StrCat(path_,
                     " has a certificate authority already, which clients may "
                     "know; --renew makes a new server certificate by it"));
  std::error_code error;
  std::filesystem::create_directories(path_, error);
  if (error || chmod(path_.c_str(), 0700) != 0)
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the folder ", path_));
  // The certificate is made before anything is written, so that a wrong host
  // leaves nothing behind.
  ASSIGN_OR_RETURN(const KeyPair authority,
                   MakeAuthority("kvrecall CA", kAuthorityLifetime));
  ASSIGN_OR_RETURN(const KeyPair server,
                   MakeServerCertificate(authority, hosts, kLifetime));
  RETURN_IF_ERROR(WritePair(authority, path_ + "/ca"));
  RETURN_IF_ERROR(WritePair(server, path_ + "/server"));
  if (std::filesystem::exists(tokens())) return absl::OkStatus();
  return WriteFile(tokens(), TokenList().Format(), kPrivate);
}

absl::StatusOr<KeyPair> AccessFolder::ReadAuthority() const {
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate, ReadWholeFile(authority()));
  ASSIGN_OR_RETURN(pair.key, ReadWholeFile(path_ + "/ca.key"));
  if (absl::Status bad = CheckKeyPair(pair, absl::Now()); !bad.ok())
    return absl::FailedPreconditionError(
        absl::StrCat(authority(), ": ", bad.message()));
  return pair;
}

absl::Status AccessFolder::Renew(const std::vector<std::string>& hosts) const {
  ASSIGN_OR_RETURN(const KeyPair authority, ReadAuthority());
  ASSIGN_OR_RETURN(const KeyPair server,
                   MakeServerCertificate(authority, hosts, kLifetime));
  return WritePair(server, path_ + "/server");
}

absl::StatusOr<TokenList> AccessFolder::ReadTokens() const {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(tokens()));
  absl::StatusOr<TokenList> list = TokenList::Parse(text);
  if (!list.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(tokens(), ": ", list.status().message()));
  return list;
}

absl::StatusOr<std::string> AccessFolder::AddToken(const std::string& name,
                                                   AccessScope scope) const {
  ASSIGN_OR_RETURN(TokenList list, ReadTokens());
  std::string token = NewToken();
  RETURN_IF_ERROR(list.Add({name, scope, Sha256Hex(token)}));
  RETURN_IF_ERROR(WriteFile(tokens(), list.Format(), kPrivate));
  return token;
}

absl::Status AccessFolder::RemoveToken(std::string_view name) const {
  ASSIGN_OR_RETURN(TokenList list, ReadTokens());
  RETURN_IF_ERROR(list.Remove(name));
  return WriteFile(tokens(), list.Format(), kPrivate);
}

absl::Status AccessFolder::IssueClientCertificate(
    const std::string& name, const std::string& prefix) const {
  for (const char* ending : {".crt", ".key"})
    if (std::filesystem::exists(prefix + ending))
      return absl::AlreadyExistsError(
          absl::StrCat("there is a file ", prefix, ending));
  ASSIGN_OR_RETURN(const KeyPair authority, ReadAuthority());
  ASSIGN_OR_RETURN(const KeyPair pair,
                   MakeClientCertificate(authority, name, kLifetime));
  return WritePair(pair, prefix);
}

absl::StatusOr<std::string> DefaultAccessFolder() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config == '/')
    return absl::StrCat(config, "/kvrecall-server");
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0')
    return absl::StrCat(home, "/.config/kvrecall-server");
  return absl::FailedPreconditionError(
      "neither XDG_CONFIG_HOME nor HOME is set; say with --access where "
      "certificates and tokens are to be kept");
}

}  // namespace kvrecall
