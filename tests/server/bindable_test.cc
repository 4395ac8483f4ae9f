#include "server/bindable.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kvrecall {
namespace {

using ::testing::HasSubstr;

// A port of the loopback that somebody listens on.
class BusyPort {
 public:
  BusyPort() : descriptor_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(descriptor_, any, size), 0);
    EXPECT_EQ(listen(descriptor_, 1), 0);
    EXPECT_EQ(getsockname(descriptor_, any, &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~BusyPort() { close(descriptor_); }
  int port() const { return port_; }

 private:
  const int descriptor_;
  int port_ = 0;
};

TEST(BindableTest, AFreePortCanBeHadAgainAndAgain) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(CheckBindable("127.0.0.1:0"), absl::OkStatus());
    EXPECT_EQ(CheckBindable("localhost:0"), absl::OkStatus());
    EXPECT_EQ(CheckBindable("0.0.0.0:0"), absl::OkStatus());
  }
  EXPECT_EQ(CheckBindable("unix:/tmp/kvrecall.sock"), absl::OkStatus());
}

TEST(BindableTest, APortInUseIsNamed) {
  const BusyPort busy;
  const std::string address = absl::StrCat("127.0.0.1:", busy.port());
  const absl::Status status = CheckBindable(address);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(),
            "cannot listen on " + address + ": the port is in use");
}

TEST(BindableTest, AnAddressOfAnotherMachineIsNamed) {
  // Of a block that is kept for documentation.
  const absl::Status status = CheckBindable("192.0.2.1:50551");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("192.0.2.1:50551: "));
}

TEST(BindableTest, AHostThatIsNotKnownIsNamed) {
  const absl::Status status = CheckBindable("no such host:50551");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no such host:50551: "));
}

}  // namespace
}  // namespace kvrecall
