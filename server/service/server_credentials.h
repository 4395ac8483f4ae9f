#pragma once

// The server's end of TLS.

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/security/server_credentials.h"

namespace kvrecall {

// Paths of PEM files. Without a certificate: no TLS.
struct TlsFiles {
  std::string certificate;  // with those between it and its authority, if any
  std::string key;
  // Of the authorities whose clients are let in; empty: clients need no
  // certificate.
  std::string client_authorities;
};

// What the listener is made with. The files are looked at every minute, so a
// renewed certificate is used without a restart. InvalidArgument, NotFound,
// PermissionDenied: one line with the path; what is wrong in them is found here
// and not at the first handshake.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const TlsFiles& files);

}  // namespace kvrecall
