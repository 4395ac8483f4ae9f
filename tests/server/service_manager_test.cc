#include "server/service_manager.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "gtest/gtest.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace kvrecall {
namespace {

// A socket as systemd has one; `name` as in NOTIFY_SOCKET.
class Manager {
 public:
  explicit Manager(const std::string& name)
      : descriptor_(socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    EXPECT_EQ(bind(descriptor_, reinterpret_cast<sockaddr*>(&address),
                   offsetof(sockaddr_un, sun_path) + name.size()),
              0);
    setenv("NOTIFY_SOCKET", name.c_str(), 1);
  }
  ~Manager() {
    unsetenv("NOTIFY_SOCKET");
    close(descriptor_);
  }

  // What was said and not read yet; empty: nothing.
  std::string Heard() const {
    char text[100];
    const ssize_t size = recv(descriptor_, text, sizeof(text), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }

 private:
  const int descriptor_;
};

TEST(ServiceManagerTest, ASocketInAFolderHearsIt) {
  const std::string path =
      ::testing::TempDir() + "/kvrecall-notify-" + std::to_string(getpid());
  const Manager manager(path);
  NotifyServiceManager("READY=1");
  NotifyServiceManager("STOPPING=1");
  EXPECT_EQ(manager.Heard(), "READY=1");
  EXPECT_EQ(manager.Heard(), "STOPPING=1");
  EXPECT_EQ(manager.Heard(), "");
  std::filesystem::remove(path);
}

TEST(ServiceManagerTest, AnAbstractSocketHearsIt) {
  const Manager manager("@kvrecall-notify-" + std::to_string(getpid()));
  NotifyServiceManager("READY=1\nSTATUS=serving");
  EXPECT_EQ(manager.Heard(), "READY=1\nSTATUS=serving");
}

TEST(ServiceManagerTest, NobodyNeedsToListen) {
  unsetenv("NOTIFY_SOCKET");
  NotifyServiceManager("READY=1");
  for (const std::string& path :
       {std::string(""), std::string("relative"),
        std::string("/no/such/socket"), "/" + std::string(200, 'x')}) {
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
    NotifyServiceManager("READY=1");
  }
  unsetenv("NOTIFY_SOCKET");
}

// A full queue must not hold up the server.
TEST(ServiceManagerTest, AManagerThatDoesNotReadHoldsNobodyUp) {
  const Manager manager("@kvrecall-busy-" + std::to_string(getpid()));
  for (int i = 0; i < 5000; ++i) NotifyServiceManager("READY=1");
  EXPECT_EQ(manager.Heard(), "READY=1");
}

}  // namespace
}  // namespace kvrecall
