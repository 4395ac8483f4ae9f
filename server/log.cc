#include "server/log.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "google/protobuf/stubs/logging.h"
#include "nlohmann/json.hpp"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"
#include <pthread.h>

#include "grpc/support/log.h"

namespace kvrecall {
namespace {

// A line is formatted by the thread that logs it.
thread_local LogFields current_fields;

std::string_view Inner(std::string_view inner, std::string_view outer) {
  return inner.empty() ? outer : inner;
}

std::string_view View(spdlog::string_view_t text) {
  return {text.data(), text.size()};
}

void Append(std::string_view text, spdlog::memory_buf_t& line) {
  line.append(text.data(), text.data() + text.size());
}

std::string ThreadName() {
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof(name));
  return name;
}

class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              spdlog::memory_buf_t& line) override {
    nlohmann::ordered_json object;
    object["time"] =
        absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(message.time),
                         absl::UTCTimeZone());
    object["level"] = View(spdlog::level::to_string_view(message.level));
    object["message"] = View(message.payload);
    object["thread"] = ThreadName();
    const LogFields& fields = current_fields;
    for (const auto& [name, value] :
         {std::pair("run", fields.run), std::pair("sample", fields.sample),
          std::pair("method", fields.method),
          std::pair("request", fields.request)})
      if (!value.empty()) object[name] = value;
    Append(object.dump(-1, ' ', /*ensure_ascii=*/false,
                       nlohmann::ordered_json::error_handler_t::replace),
           line);
    Append("\n", line);
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

// What a text line of an RPC ends with.
class CallFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg&, const std::tm&,
              spdlog::memory_buf_t& line) override {
    const LogFields& fields = current_fields;
    if (fields.request.empty()) return;
    Append(" [", line);
    if (!fields.method.empty()) {
      Append(fields.method, line);
      Append(" ", line);
    }
    Append(fields.request, line);
    Append("]", line);
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<CallFlag>();
  }
};

std::unique_ptr<spdlog::formatter> TextFormatter() {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<CallFlag>('*').set_pattern(
      "[%Y-%m-%d %H:%M:%S.%e] "
      "[%^%l%$] %v%*");
  return formatter;
}

}  // namespace

LogScope::LogScope(const LogFields& fields) : outer_(current_fields) {
  current_fields = {Inner(fields.run, outer_.run),
                    Inner(fields.sample, outer_.sample),
                    Inner(fields.method, outer_.method),
                    Inner(fields.request, outer_.request)};
}

LogScope::~LogScope() { current_fields = outer_; }

const LogFields& CurrentLogFields() { return current_fields; }

void SetUpLog(const std::string& level, LogFormat format) {
  spdlog::sink_ptr sink;
  if (format == LogFormat::kJson) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
    sink->set_formatter(TextFormatter());
  }
  auto logger = std::make_shared<spdlog::logger>("", std::move(sink));
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
  // gRPC writes several lines on what is one error, and the errors are
  // reported where they are handled.
  gpr_set_log_function([](gpr_log_func_args* args) {
    spdlog::debug("grpc: {}", args->message);
  });
  // Of what clients send, and they are told.
  google::protobuf::SetLogHandler([](google::protobuf::LogLevel, const char*,
                                     int, const std::string& message) {
    spdlog::debug("protobuf: {}", message);
  });
}

}  // namespace kvrecall
