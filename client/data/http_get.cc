#include "client/data/http_get.h"

#include <array>
#include <exception>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

#include "curl/curl.h"

namespace kvrecall {
namespace {

constexpr long kMostRedirects = 10;

struct CloseHandle {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Headers = std::unique_ptr<curl_slist, FreeList>;

bool StartLibrary() {
  static const bool started = curl_global_init(CURL_GLOBAL_DEFAULT) == 0;
  return started;
}

std::optional<int64_t> ToNumber(absl::string_view text) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number < 0) return std::nullopt;
  return number;
}

// "bytes 100-999/1000" or "bytes */1000".
void ReadContentRange(absl::string_view value, HttpHead* head) {
  if (!absl::ConsumePrefix(&value, "bytes ")) return;
  const size_t slash = value.find('/');
  if (slash == absl::string_view::npos) return;
  head->range_first = ToNumber(value.substr(0, value.find('-')));
  head->range_total = ToNumber(value.substr(slash + 1));
}

void ReadHeader(absl::string_view line, HttpHead* head) {
  // Each answer, that of a redirect too, begins with its status line.
  if (absl::StartsWith(line, "HTTP/")) {
    *head = HttpHead();
    return;
  }
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos) return;
  const std::string name = absl::AsciiStrToLower(line.substr(0, colon));
  const absl::string_view value =
      absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (name == "etag") head->etag = std::string(value);
  if (name == "last-modified") head->last_modified = std::string(value);
  if (name == "content-type") head->content_type = std::string(value);
  if (name == "content-length") head->content_length = ToNumber(value);
  if (name == "content-range") ReadContentRange(value, head);
}

// The transfer in progress, which libcurl's callbacks work on.
struct Transfer {
  CURL* handle;
  HttpReceiver& receiver;
  HttpHead head = {};
  bool head_given = false;
  absl::Status status = {};  // the receiver's first error

  bool GiveHead() {
    if (head_given) return true;
    head_given = true;
    long status_code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status_code);
    head.status = static_cast<int>(status_code);
    status = receiver.OnHead(head);
    return status.ok();
  }
};

size_t OnHeader(char* data, size_t, size_t size, void* transfer) {
  ReadHeader({data, size}, &static_cast<Transfer*>(transfer)->head);
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* pointer) {
  Transfer& transfer = *static_cast<Transfer*>(pointer);
  if (!transfer.GiveHead()) return 0;
  transfer.status = transfer.receiver.OnBytes({data, size});
  return transfer.status.ok() ? size : 0;
}

int OnProgress(void* transfer, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(transfer)->receiver.Cancelled() ? 1 : 0;
}

// What is asked for.
void SetRequest(CURL* curl, const HttpRequest& request,
                const curl_slist* headers) {
  const bool secure = absl::StartsWithIgnoreCase(request.url, "https:");
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
                   secure ? "https" : "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMostRedirects);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "kvrecall-client");
  // Not CURLOPT_RESUME_FROM: with it libcurl itself refuses an answer that
  // starts over.
  if (request.from > 0) {
    curl_easy_setopt(curl, CURLOPT_RANGE,
                     absl::StrCat(request.from, "-").c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  }
}

// How long it may take. CURLOPT_NOSIGNAL stays off, so that libcurl keeps
// SIGPIPE from ending the program.
void SetPatience(CURL* curl, const HttpRequest& request) {
  const auto milliseconds =
      static_cast<long>(absl::ToInt64Milliseconds(request.connect_timeout));
  const auto seconds =
      static_cast<long>(absl::ToInt64Seconds(request.stall_timeout));
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, seconds);
}

void SetCallbacks(CURL* curl, Transfer* transfer) {
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

// Whether the request had gone out: connection and TLS were there.
bool WasConnected(CURL* curl) {
  curl_off_t microseconds = 0;
  curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &microseconds);
  return microseconds > 0;
}

absl::Status ToStatus(CURLcode code, const char* details, CURL* curl) {
  const std::string reason =
      details[0] != '\0' ? details : curl_easy_strerror(code);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return absl::CancelledError("stopped");
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return absl::InvalidArgumentError(reason);
    case CURLE_TOO_MANY_REDIRECTS:
      return absl::UnavailableError(reason);
    default:
      return WasConnected(curl) ? absl::AbortedError(reason)
                                : absl::UnavailableError(reason);
  }
}

}  // namespace

absl::Status HttpGet(const HttpRequest& request, HttpReceiver& receiver) {
  const std::unique_ptr<CURL, CloseHandle> curl(
      StartLibrary() ? curl_easy_init() : nullptr);
  if (curl == nullptr) return absl::UnavailableError("libcurl cannot start");
  const Headers headers(curl_slist_append(
      nullptr, absl::StrCat("If-Range: ", request.if_range).c_str()));
  std::array<char, CURL_ERROR_SIZE> details{};
  Transfer transfer{.handle = curl.get(), .receiver = receiver};
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, details.data());
  SetRequest(curl.get(), request, headers.get());
  SetPatience(curl.get(), request);
  SetCallbacks(curl.get(), &transfer);
  const CURLcode code = curl_easy_perform(curl.get());
  if (!transfer.status.ok()) return transfer.status;
  if (code != CURLE_OK) return ToStatus(code, details.data(), curl.get());
  // An answer without a body has not come by OnBody.
  transfer.GiveHead();
  return transfer.status;
}

}  // namespace kvrecall
