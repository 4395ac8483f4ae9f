#pragma once

// One HTTP GET through libcurl, its answer handed on as it comes. Thread-safe:
// no shared state but libcurl's own, which is set up once.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kvrecall {

struct HttpRequest {
  std::string url;
  // Asks for the bytes from there on, if above 0, and only if the content is
  // still the one that `if_range` names.
  int64_t from = 0;
  std::string if_range;
  absl::Duration connect_timeout = absl::Seconds(30);
  // How long a transfer may stand still before it counts as lost; whole
  // seconds.
  absl::Duration stall_timeout = absl::Seconds(60);
};

// The head of the last answer, behind all redirects.
struct HttpHead {
  int status = 0;
  std::string etag;
  std::string last_modified;
  std::string content_type;
  std::optional<int64_t> content_length;
  // Of "Content-Range: bytes FIRST-LAST/TOTAL"; nullopt: not said, or "*".
  std::optional<int64_t> range_first;
  std::optional<int64_t> range_total;
};

class HttpReceiver {
 public:
  virtual ~HttpReceiver() = default;
  // The head, once, before any byte. An error ends the transfer.
  virtual absl::Status OnHead(const HttpHead& head) = 0;
  // The next bytes of the body. An error ends the transfer.
  virtual absl::Status OnBytes(std::string_view bytes) = 0;
  // Asked about once a second and after each piece; true ends the transfer.
  virtual bool Cancelled() = 0;
};

// Follows redirects, from https to https only, and takes the proxy that the
// environment names. OK: the whole answer came, whatever its status is. The
// receiver's error as it is; CANCELLED; ABORTED where the connection was lost
// after the request had gone out, so that another try may get further; else
// the reason why there is no answer: INVALID_ARGUMENT for a URL that cannot be
// used, UNAVAILABLE for all others.
absl::Status HttpGet(const HttpRequest& request, HttpReceiver& receiver);

}  // namespace kvrecall
