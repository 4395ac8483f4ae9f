#include "client/data/download.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "client/data/http_get.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kLongestPause = absl::Seconds(30);
constexpr char kHasChanged[] =
    "the file on the server has changed; starting over";

// A weak ETag promises the same meaning, not the same bytes.
std::string ValidatorOf(const HttpHead& head) {
  if (!head.etag.empty() && !absl::StartsWith(head.etag, "W/")) {
    return head.etag;
  }
  return head.last_modified;
}

// Whether an answer's head contradicts the validator. A part's may leave out
// what If-Range has vouched for.
bool Contradicts(const HttpHead& head, const std::string& validator) {
  const std::string& now =
      absl::StartsWith(validator, "\"") ? head.etag : head.last_modified;
  return !now.empty() && now != validator;
}

bool IsBusy(int status) {
  return status == 408 || status == 429 || status >= 500;
}

absl::Status Refusal(const HttpHead& head) {
  const std::string reason =
      absl::StrCat("the server answered with HTTP status ", head.status);
  if (head.status == 404 || head.status == 410) {
    return absl::NotFoundError(absl::StrCat(reason, " (not found)"));
  }
  return IsBusy(head.status) ? absl::AbortedError(reason)
                             : absl::UnavailableError(reason);
}

// One request, and what its answer means for the part.
class Attempt final : public HttpReceiver {
 public:
  Attempt(const std::string& url, const DownloadHooks& hooks, PartFile& part)
      : url_(url),
        hooks_(hooks),
        part_(part),
        from_(part.CanGoOn() && part.origin().url == url ? part.size() : 0) {}

  int64_t from() const { return from_; }
  // The server has another content by now, or answered nonsense: the next
  // attempt is to ask for all of it.
  bool must_start_over() const { return must_start_over_; }

  absl::Status OnHead(const HttpHead& head) override {
    if (head.status == 200) return StartOver(head);
    if (head.status == 206 && from_ > 0) return GoOn(head);
    if (head.status == 416 && from_ > 0) return AtTheEnd(head);
    return Refusal(head);
  }

  absl::Status OnBytes(std::string_view bytes) override {
    if (is_whole_) return absl::OkStatus();  // what a 416 has to say
    if (absl::Status status = part_.Append(bytes); !status.ok()) return status;
    hooks_.progress(part_.size(), part_.origin().bytes);
    return absl::OkStatus();
  }

  bool Cancelled() override { return hooks_.cancelled(); }

 private:
  absl::Status StartOver(const HttpHead& head) {
    if (from_ > 0) {
      hooks_.message(ValidatorOf(head) == part_.origin().validator
                         ? "the server sends no parts of files; starting over"
                         : kHasChanged);
    }
    return part_.Restart(
        {url_, ValidatorOf(head), head.content_length.value_or(0)});
  }

  absl::Status GoOn(const HttpHead& head) {
    const bool same = head.range_first == from_ &&
                      !Contradicts(head, part_.origin().validator) &&
                      IsTotal(head.range_total.value_or(0));
    return same ? absl::OkStatus() : Mismatch();
  }

  // Nothing lies behind what is there: it is whole, or of another content.
  absl::Status AtTheEnd(const HttpHead& head) {
    is_whole_ = head.range_total.value_or(part_.origin().bytes) == from_ &&
                IsTotal(from_);
    return is_whole_ ? absl::OkStatus() : Mismatch();
  }

  // Whether the whole may have that many bytes; 0: not known.
  bool IsTotal(int64_t bytes) const {
    const int64_t expected = part_.origin().bytes;
    return bytes == 0 || expected == 0 || bytes == expected;
  }

  absl::Status Mismatch() {
    must_start_over_ = true;
    hooks_.message(kHasChanged);
    return absl::AbortedError(kHasChanged);
  }

  const std::string& url_;
  const DownloadHooks& hooks_;
  PartFile& part_;
  const int64_t from_;
  bool is_whole_ = false;
  bool must_start_over_ = false;
};

absl::Status CheckLength(const PartFile& part) {
  const int64_t expected = part.origin().bytes;
  if (expected == 0 || part.size() == expected) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(
      "the server sent ", part.size(), " bytes and had announced ", expected));
}

absl::Status Cancelled() { return absl::CancelledError("stopped"); }

void Pause(const absl::Status& lost, int failures,
           const DownloadOptions& options, const DownloadHooks& hooks) {
  const int doublings = std::min(failures - 1, 20);
  const absl::Duration pause =
      std::min(options.first_pause * (1 << doublings), kLongestPause);
  hooks.message(absl::StrCat(std::string(lost.message()), "; trying again in ",
                             absl::ToInt64Seconds(pause), " s"));
  hooks.pause(pause);
}

}  // namespace

absl::Status Download(const DownloadOptions& options,
                      const DownloadHooks& hooks, PartFile& part) {
  int64_t most = part.size();  // that was ever there
  int failures = 0;            // since it last became more
  while (true) {
    Attempt attempt(options.url, hooks, part);
    absl::Status status = HttpGet({.url = options.url,
                                   .from = attempt.from(),
                                   .if_range = part.origin().validator,
                                   .connect_timeout = options.connect_timeout,
                                   .stall_timeout = options.stall_timeout},
                                  attempt);
    if (attempt.must_start_over()) {
      status = part.Restart({});
      if (!status.ok()) return status;
      continue;
    }
    if (status.ok()) status = CheckLength(part);
    if (!absl::IsAborted(status)) return status;
    if (hooks.cancelled()) return Cancelled();
    failures = part.size() > most ? 1 : failures + 1;
    most = std::max(most, part.size());
    if (failures > options.retries) {
      return absl::UnavailableError(status.message());
    }
    Pause(status, failures, options, hooks);
    if (hooks.cancelled()) return Cancelled();
  }
}

}  // namespace kvrecall
