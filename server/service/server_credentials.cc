#include "server/service/server_credentials.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"

#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "server/access/certificates.h"

namespace kvrecall {
namespace {

constexpr unsigned int kRereadSeconds = 60;

absl::Status CheckFiles(const TlsFiles& files) {
  if (files.key.empty())
    return absl::InvalidArgumentError(absl::StrCat(
        "certificate ", files.certificate, ": give its key with --tls-key"));
  KeyPair pair;
  ASSIGN_OR_RETURN(pair.certificate, ReadWholeFile(files.certificate));
  ASSIGN_OR_RETURN(pair.key, ReadWholeFile(files.key));
  if (absl::Status bad = CheckKeyPair(pair, absl::Now()); !bad.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(files.certificate, ", ", files.key, ": ", bad.message()));
  if (files.client_authorities.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string authorities,
                   ReadWholeFile(files.client_authorities));
  if (absl::Status bad = ExpiryOf(authorities).status(); !bad.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(files.client_authorities, ": ", bad.message()));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files) {
  if (files.certificate.empty()) {
    if (!files.key.empty() || !files.client_authorities.empty())
      return absl::InvalidArgumentError(
          "--tls-key and --tls-client-ca need --tls-certificate");
    return grpc::InsecureServerCredentials();
  }
  RETURN_IF_ERROR(CheckFiles(files));
  using grpc::experimental::FileWatcherCertificateProvider;
  const bool is_mutual = !files.client_authorities.empty();
  const auto provider = is_mutual
                            ? std::make_shared<FileWatcherCertificateProvider>(
                                  files.key, files.certificate,
                                  files.client_authorities, kRereadSeconds)
                            : std::make_shared<FileWatcherCertificateProvider>(
                                  files.key, files.certificate, kRereadSeconds);
  grpc::experimental::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  if (is_mutual) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace kvrecall
