#pragma once

// Which server, and how it and its client know each other.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace kvrecall {

inline constexpr std::string_view kDefaultServer = "127.0.0.1:50551";

// "host" gets the default port; "host:port" and gRPC's own forms ("unix:…",
// "[::1]:50551") stay.
std::string ServerAddress(std::string_view given);

// What --server names: one server, or several by commas, each as ServerAddress
// gives it. InvalidArgument: one has no name, or is there twice.
absl::StatusOr<std::vector<std::string>> ServerAddresses(
    std::string_view given);

// As the user names it: paths of PEM files, each empty where it is not given.
struct ServerChoice {
  std::string address = std::string(kDefaultServer);  // or several, by commas
  // Whose word on the server counts; "system" for the authorities that this
  // machine trusts. Given, the connection is encrypted.
  std::string authority;
  std::string certificate, key;  // the client's own, where it is asked for one
  std::string token_file;
  std::string token;  // where there is no file
  std::string user;   // whom the server takes its caller for if it knows no one
};

// With the files' texts. Plain value.
struct ServerTarget {
  std::string address;
  bool is_encrypted = false;
  std::string authorities, certificate, key;  // PEM
  std::string token, user;
};

// Of one server: InvalidArgument where several are named.
// InvalidArgument, NotFound, PermissionDenied: a file that cannot be read or is
// not what it should be, in one line. FailedPrecondition: a token that would go
// over a network in clear.
absl::StatusOr<ServerTarget> ReadTarget(const ServerChoice& options);

}  // namespace kvrecall
