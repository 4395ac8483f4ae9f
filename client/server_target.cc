#include "client/server_target.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include <openssl/x509.h>

#include "common/base/address.h"
#include "common/base/read_file.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// The text of a PEM file that has a part of that kind.
absl::StatusOr<std::string> ReadPem(const std::string& path,
                                    std::string_view kind) {
  ASSIGN_OR_RETURN(std::string text, ReadWholeFile(path));
  const size_t begin = text.find("-----BEGIN ");
  if (begin != std::string::npos &&
      text.find(absl::StrCat(std::string(kind), "-----"), begin) !=
          std::string::npos)
    return text;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": has no ", absl::AsciiStrToLower(std::string(kind)), " in PEM"));
}

// Where OpenSSL looks for them, as SSL_CERT_FILE may say.
std::string SystemAuthorities() {
  const char* given = std::getenv(X509_get_default_cert_file_env());
  if (given != nullptr && *given != '\0') return given;
  return "/etc/ssl/certs/ca-certificates.crt";
}

absl::StatusOr<std::string> ReadToken(const ServerChoice& options) {
  std::string token = options.token;
  if (!options.token_file.empty()) {
    ASSIGN_OR_RETURN(token, ReadWholeFile(options.token_file));
  }
  token = std::string(absl::StripAsciiWhitespace(token));
  if (token.empty() && !options.token_file.empty())
    return absl::InvalidArgumentError(
        absl::StrCat(options.token_file, ": has no token"));
  for (const unsigned char c : token)
    if (!absl::ascii_isgraph(c))
      return absl::InvalidArgumentError(
          "the token has spaces or characters that no token has: one line, as "
          "'kvrecall-server token add' printed it");
  return token;
}

}  // namespace

std::string ServerAddress(std::string_view given) {
  if (given.find(':') != std::string_view::npos) return std::string(given);
  const std::string_view port =
      kDefaultServer.substr(kDefaultServer.rfind(':'));
  return std::string(given) + std::string(port);
}

absl::StatusOr<std::vector<std::string>> ServerAddresses(
    std::string_view given) {
  std::vector<std::string> addresses;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(given.data(), given.size()), ',')) {
    const std::string name(absl::StripAsciiWhitespace(part));
    if (name.empty())
      return absl::InvalidArgumentError(
          absl::StrCat("--server '", std::string(given),
                       "': expected host:port, or several by commas"));
    std::string address = ServerAddress(name);
    if (std::find(addresses.begin(), addresses.end(), address) !=
        addresses.end())
      return absl::InvalidArgumentError(absl::StrCat(
          "--server '", std::string(given), "': names ", address, " twice"));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

absl::StatusOr<ServerTarget> ReadTarget(const ServerChoice& options) {
  if (options.address.find(',') != std::string::npos)
    return absl::InvalidArgumentError(
        absl::StrCat("this is done with one server at a time, and --server "
                     "names several: ",
                     options.address));
  ServerTarget target;
  target.address = options.address;
  target.user = options.user;
  target.is_encrypted = !options.authority.empty();
  if (target.is_encrypted) {
    ASSIGN_OR_RETURN(target.authorities,
                     ReadPem(options.authority == "system" ? SystemAuthorities()
                                                           : options.authority,
                             "CERTIFICATE"));
  }
  if (options.certificate.empty() != options.key.empty())
    return absl::InvalidArgumentError(
        "a client's certificate needs its key, and the other way round: give "
        "--cert and --key");
  if (!options.certificate.empty()) {
    if (!target.is_encrypted)
      return absl::InvalidArgumentError(
          "--cert needs --ca: a certificate is shown on an encrypted "
          "connection only");
    ASSIGN_OR_RETURN(target.certificate,
                     ReadPem(options.certificate, "CERTIFICATE"));
    ASSIGN_OR_RETURN(target.key, ReadPem(options.key, "PRIVATE KEY"));
  }
  ASSIGN_OR_RETURN(target.token, ReadToken(options));
  if (!target.token.empty() && !target.is_encrypted &&
      !IsLoopback(target.address))
    return absl::FailedPreconditionError(absl::StrCat(
        "the token would go to ", target.address,
        " in clear, for everyone on the way to read; give the server's ca.crt "
        "with --ca or KVRECALL_CA, or use a tunnel (ssh -L 50551:localhost:"
        "50551 ",
        std::string(HostOf(target.address)), ")"));
  return target;
}

}  // namespace kvrecall
