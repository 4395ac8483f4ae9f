#pragma once

// The server's log: lines on stderr, as text or as JSON objects, by spdlog's
// default logger. What a thread logs can be marked with what it is about. Any
// thread.

#include <string>
#include <string_view>

namespace kvrecall {

// What a line is about; empty where it is about none.
struct LogFields {
  std::string_view run = {};
  std::string_view sample = {};
  std::string_view method = {};   // an RPC's name, "CreateRun"
  std::string_view request = {};  // the RPC's id
};

// While it lives, what this thread logs carries these fields; those that are
// empty keep what an outer scope says. Their texts outlive it. Costs a few
// moves and no memory, so that it may stand where nothing is logged mostly.
// Scopes of one thread end in reverse order.
class LogScope {
 public:
  explicit LogScope(const LogFields& fields);
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

 private:
  const LogFields outer_;
};

// This thread's.
const LogFields& CurrentLogFields();

enum class LogFormat {
  // "[time] [level] message", for RPCs with " [method request]" behind it.
  kText,
  // A line each: {"time": RFC 3339 in UTC with milliseconds, "level",
  // "message", "thread"} and the fields that are not empty. Bytes that are not
  // UTF-8 become U+FFFD.
  kJson,
};

// `level`: debug, info, warning, error or off. Once, before other threads log.
// What gRPC and protobuf log goes where ours does, at level debug.
void SetUpLog(const std::string& level, LogFormat format);

}  // namespace kvrecall
