#include "tests/client/file_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

#include "httplib.h"

namespace kvrecall {
namespace {

template <typename T>
T Next(std::deque<T>& queue, T otherwise) {
  if (queue.empty()) return otherwise;
  const T value = queue.front();
  queue.pop_front();
  return value;
}

// N of "bytes=N-"; 0 where there is no such header.
size_t FirstByte(const std::string& range) {
  absl::string_view text = range;
  uint64_t first = 0;
  const bool is_range = absl::ConsumePrefix(&text, "bytes=") &&
                        absl::ConsumeSuffix(&text, "-") &&
                        absl::SimpleAtoi(text, &first);
  return is_range ? static_cast<size_t>(first) : 0;
}

}  // namespace

struct FileServer::Gate {
  absl::Notification open;
};

FileServer::FileServer(FileScript script)
    : script_(std::move(script)),
      gate_(std::make_unique<Gate>()),
      http_(std::make_unique<httplib::Server>()) {
  http_->new_task_queue = [] { return new httplib::ThreadPool(2); };
  http_->set_keep_alive_max_count(1);
  http_->Get("/data.zip", [this](const httplib::Request& request,
                                 httplib::Response& response) {
    Answer(request, response);
  });
  http_->Get("/moved.zip",
             [](const httplib::Request&, httplib::Response& response) {
               response.set_redirect("/data.zip");
             });
  port_ = http_->bind_to_any_port("127.0.0.1");
  EXPECT_GT(port_, 0);
  listener_ = std::thread([this] { http_->listen_after_bind(); });
  // A stop() before the listener runs would be lost.
  while (!http_->is_running()) std::this_thread::yield();
}

FileServer::~FileServer() {
  gate_->open.Notify();
  http_->stop();
  listener_.join();
}

std::string FileServer::Url(const std::string& path) const {
  return absl::StrCat("http://127.0.0.1:", port_, path);
}

void FileServer::SetScript(FileScript script) {
  std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

std::vector<FileServer::Asked> FileServer::asked() const {
  std::lock_guard lock(mutex_);
  return asked_;
}

void FileServer::Stall() { gate_->open.WaitForNotification(); }

void FileServer::Answer(const httplib::Request& request,
                        httplib::Response& response) {
  std::lock_guard lock(mutex_);
  asked_.push_back({request.path, request.get_header_value("Range"),
                    request.get_header_value("If-Range")});
  if (script_.on_request) script_.on_request();
  // Else the library would answer ranges by itself.
  const_cast<httplib::Request&>(request).ranges.clear();
  if (const int status = Next(script_.statuses, 0); status != 0) {
    response.status = status;
    response.set_content("an answer that is no file", "text/plain");
    return;
  }
  const size_t size = script_.content.size();
  const bool is_part = WantsPart(asked_.back());
  const size_t first = is_part ? FirstByte(asked_.back().range) : 0;
  if (first > 0 && first >= size) {
    response.status = 416;
    response.set_header("Content-Range", absl::StrCat("bytes */", size));
    return;
  }
  response.status = is_part ? 206 : 200;
  if (is_part) {
    response.set_header("Content-Range", absl::StrCat("bytes ", first, "-",
                                                      size - 1, "/", size));
  }
  SendFrom(first, response);
}

bool FileServer::WantsPart(const Asked& asked) const {
  const bool is_same =
      asked.if_range == script_.etag || asked.if_range == script_.last_modified;
  return script_.ranges && !asked.range.empty() &&
         (is_same || script_.ignores_if_range);
}

void FileServer::SetValidators(httplib::Response& response) const {
  if (!script_.etag.empty()) response.set_header("ETag", script_.etag);
  if (!script_.last_modified.empty()) {
    response.set_header("Last-Modified", script_.last_modified);
  }
}

void FileServer::SendFrom(size_t first, httplib::Response& response) {
  if (first == 0 || !script_.has_bare_parts) SetValidators(response);
  const int64_t cut = Next<int64_t>(script_.cuts, -1);
  const int64_t stall = Next<int64_t>(script_.stalls, -1);
  const std::string body = script_.content.substr(first);
  response.set_content_provider(
      body.size(), script_.content_type,
      [this, body, cut, stall](size_t offset, size_t length,
                               httplib::DataSink& sink) {
        const int64_t until = std::max(cut, stall);
        if (until < 0) return sink.write(body.data() + offset, length);
        sink.write(body.data(), static_cast<size_t>(until));
        if (stall >= 0) Stall();
        return false;
      });
}

}  // namespace kvrecall
