#pragma once

// A certificate authority of one's own, and what it signs. PEM texts; elliptic
// curve keys (P-256), which every TLS library knows. Pure but for the
// clock and the system's randomness; thread-safe.

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace kvrecall {

struct KeyPair {
  std::string certificate;  // PEM
  std::string key;          // PEM, PKCS #8, not encrypted
};

// Signs itself; may sign certificates and nothing else. Internal: OpenSSL
// failed.
absl::StatusOr<KeyPair> MakeAuthority(std::string_view name,
                                      absl::Duration lifetime);

// For a server under any of `hosts`: DNS names and IP addresses, at least one.
// InvalidArgument: a host is neither, or the authority's texts are damaged.
absl::StatusOr<KeyPair> MakeServerCertificate(
    const KeyPair& authority, std::span<const std::string> hosts,
    absl::Duration lifetime);

// For a client that is asked for one; `name` becomes its common name.
absl::StatusOr<KeyPair> MakeClientCertificate(const KeyPair& authority,
                                              std::string_view name,
                                              absl::Duration lifetime);

// InvalidArgument, in words: not PEM, not a pair, not valid yet, expired. What
// a server would find out at its first handshake only.
absl::Status CheckKeyPair(const KeyPair& pair, absl::Time now);
// The end of a certificate's lifetime.
absl::StatusOr<absl::Time> ExpiryOf(std::string_view certificate);

}  // namespace kvrecall
