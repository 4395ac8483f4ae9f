#pragma once

// An HTTP server on the loopback that has one file, with programmable faults.
// Thread-safe.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace httplib {
class Server;
struct Request;
struct Response;
}  // namespace httplib

namespace kvrecall {

// What it answers with at /data.zip; /moved.zip leads there.
struct FileScript {
  std::string content;
  std::string etag = "\"one\"";  // none where empty
  std::string last_modified;     // none where empty
  std::string content_type = "application/zip";
  // Whether a Range is answered with a part. It is where If-Range names the
  // content, or always.
  bool ranges = true;
  bool ignores_if_range = false;
  // A part comes without the validators.
  bool has_bare_parts = false;
  // One for each request, in their order; then nothing is done.
  std::deque<int> statuses;    // answered with alone; 0: the file
  std::deque<int64_t> cuts;    // bytes after which the line is cut; -1: none
  std::deque<int64_t> stalls;  // bytes after which nothing comes; -1: none
  // Called by the server's thread before it answers.
  std::function<void()> on_request;
};

class FileServer {
 public:
  struct Asked {
    std::string path;
    std::string range;     // the header's value
    std::string if_range;  // the header's value
  };

  explicit FileServer(FileScript script);
  // Ends what is stalled.
  ~FileServer();

  // "http://127.0.0.1:PORT" and a path.
  std::string Url(const std::string& path = "/data.zip") const;
  void SetScript(FileScript script);
  std::vector<Asked> asked() const;

 private:
  void Answer(const httplib::Request& request, httplib::Response& response);
  bool WantsPart(const Asked& asked) const;
  // The content from there on, with this request's faults.
  void SendFrom(size_t first, httplib::Response& response);
  void SetValidators(httplib::Response& response) const;
  // Waits for the end.
  void Stall();

  mutable std::mutex mutex_;
  FileScript script_;
  std::vector<Asked> asked_;
  struct Gate;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<httplib::Server> http_;
  int port_ = 0;
  std::thread listener_;
};

}  // namespace kvrecall
