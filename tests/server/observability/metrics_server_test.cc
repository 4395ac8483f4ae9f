#include "server/observability/metrics_server.h"

#include <ctime>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/server/observability/metrics_testing.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
  return fd;
}

// What the server answers to some bytes, until it hangs up.
std::string Ask(int port, const std::string& request) {
  const int fd = Connect(port);
  // It may hang up before it has read them all.
  (void)send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string reply;
  char buffer[65536];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
    reply.append(buffer, n);
  close(fd);
  return reply;
}

// GET /metrics, body only.
std::string Scrape(int port) {
  const std::string reply =
      Ask(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK"));
  return reply.substr(reply.find("\r\n\r\n") + 4);
}

class MetricsServerTest : public ::testing::Test {
 protected:
  MetricsServerTest() {
    auto server = MetricsServer::Start("127.0.0.1:0", &metrics_);
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Metrics metrics_{TestLanes()};
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, AScrapeOverHttpHasTheFigures) {
  metrics_.store().OnQueue({12, 3, 100});
  const std::string text = Scrape(server_->port());
  EXPECT_EQ(Figure(text, "kvrecall_samples_waiting"), 12);
  EXPECT_EQ(Figure(text, "kvrecall_samples_running"), 3);
  metrics_.store().OnQueue({11, 3, 90});
  EXPECT_EQ(Figure(Scrape(server_->port()), "kvrecall_samples_waiting"), 11);
}

TEST_F(MetricsServerTest, OnlyGetOfMetricsIsAnswered) {
  EXPECT_THAT(Ask(server_->port(), "GET / HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask(server_->port(), "POST /metrics HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(Ask(server_->port(), "GET /metrics?x=1 HTTP/1.1\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Ask(server_->port(), "\r\n\r\n"), StartsWith("HTTP/1.1 4"));
}

TEST_F(MetricsServerTest, AHeadWithoutEndDoesNotHideTheFigures) {
  EXPECT_THAT(Ask(server_->port(), std::string(64 << 10, 'x')),
              Not(HasSubstr("200 OK")));
  EXPECT_THAT(Scrape(server_->port()), HasSubstr("kvrecall_serving"));
}

TEST_F(MetricsServerTest, AClientThatSaysNothingDoesNotKeepItFromStopping) {
  const int silent = Connect(server_->port());
  server_.reset();
  close(silent);
}

TEST_F(MetricsServerTest, TheProcessSpeaksOfItself) {
  const std::string text = Scrape(server_->port());
  EXPECT_GT(Figure(text, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GE(Figure(text, "process_virtual_memory_bytes"),
            Figure(text, "process_resident_memory_bytes"));
  EXPECT_GE(Figure(text, "process_open_fds"), 3);
  EXPECT_GE(Figure(text, "process_cpu_seconds_total"), 0);
  EXPECT_NEAR(Figure(text, "process_start_time_seconds"),
              static_cast<double>(time(nullptr)), 600);
}

TEST_F(MetricsServerTest, APortInUseIsAnErrorInOneLine) {
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  const auto second = MetricsServer::Start(address, &metrics_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(address + ": the port is in use"));
  EXPECT_THAT(std::string(second.status().message()), Not(HasSubstr("\n")));
}

TEST_F(MetricsServerTest, AddressesThatAreNoneAreNamed) {
  for (const char* address :
       {"", "9464", ":9464", "127.0.0.1:", "127.0.0.1:99999"}) {
    const auto server = MetricsServer::Start(address, &metrics_);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(server.status().message()),
                HasSubstr(absl::StrCat("'", address, "'")));
  }
}

}  // namespace
}  // namespace kvrecall
