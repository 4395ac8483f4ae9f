// The client against a real server under TLS: every way in which the two may
// fail to know each other ends in words that say what to do, and hurts nobody
// else.

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "client/connection.h"
#include "common/base/digest.h"
#include "server/access/certificates.h"
#include "tests/server/service/rpc_fixture.h"

namespace kvrecall {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kHour = absl::Hours(1);

class TlsTest : public RpcTest {
 protected:
  TlsTest() {
    std::filesystem::create_directories(folder_);
    Use(ServerPair(authority_, {"localhost"}, kHour));
  }
  ~TlsTest() override { std::filesystem::remove_all(folder_); }

  static KeyPair ServerPair(const KeyPair& authority,
                            const std::vector<std::string>& hosts,
                            absl::Duration lifetime) {
    return *MakeServerCertificate(authority, hosts, lifetime);
  }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
    return folder_ + "/" + name;
  }

  // Serves with that certificate.
  void Use(const KeyPair& pair, bool asks_for_certificate = false) {
    RpcServerOptions options;
    options.tls.certificate = Write("server.crt", pair.certificate);
    options.tls.key = Write("server.key", pair.key);
    if (asks_for_certificate)
      options.tls.client_authorities =
          Write("clients.crt", authority_.certificate);
    StartServer(options);
  }

  ServerTarget Target() const {
    ServerTarget target;
    target.address = absl::StrCat("localhost:", server_->port());
    target.is_encrypted = true;
    target.authorities = authority_.certificate;
    return target;
  }

  static absl::Status Call(const ServerTarget& target) {
    return Connection(target).GetServerInfo(absl::Seconds(5)).status();
  }

  // Refused with those words, while another is served.
  void ExpectRefused(const ServerTarget& target, const std::string& words) {
    const absl::Status status = Call(target);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(target.address), HasSubstr(words)));
  }

  const std::string folder_ = ::testing::TempDir() + "/tls_test";
  const KeyPair authority_ = *MakeAuthority("ours", kHour);
};

TEST_F(TlsTest, WhoKnowsTheAuthorityIsServed) {
  EXPECT_TRUE(Call(Target()).ok()) << Call(Target());
}

TEST_F(TlsTest, AnotherAuthority) {
  ServerTarget target = Target();
  target.authorities = MakeAuthority("theirs", kHour)->certificate;
  ExpectRefused(target, "another authority than --ca names");
  EXPECT_TRUE(Call(Target()).ok());
}

// Of the same name, so that only its signature tells it apart.
TEST_F(TlsTest, AnAuthorityOfTheSameName) {
  ServerTarget target = Target();
  target.authorities = MakeAuthority("ours", kHour)->certificate;
  ExpectRefused(target, "another authority than --ca names");
}

TEST_F(TlsTest, AnotherHost) {
  Use(ServerPair(authority_, {"gpu1.lab", "10.0.0.1"}, kHour));
  ExpectRefused(Target(), "for gpu1.lab, 10.0.0.1, not for localhost");
  ServerTarget target = Target();
  target.address = absl::StrCat("127.0.0.1:", server_->port());
  ExpectRefused(target, "for gpu1.lab, 10.0.0.1, not for 127.0.0.1");
}

TEST_F(TlsTest, AnExpiredCertificate) {
  // So long a busy machine may take to start the server, which takes no expired
  // one.
  const KeyPair pair = ServerPair(authority_, {"localhost"}, absl::Seconds(4));
  Use(pair);
  while (CheckKeyPair(pair, absl::Now()).ok())
    absl::SleepFor(absl::Milliseconds(20));
  ExpectRefused(Target(), "has expired");
}

TEST_F(TlsTest, AClientInClear) {
  ServerTarget target = Target();
  target.is_encrypted = false;
  ExpectRefused(target, "speaks TLS: give its ca.crt with --ca");
  EXPECT_TRUE(Call(Target()).ok());
}

TEST_F(TlsTest, AServerInClear) {
  StartServer({});
  ExpectRefused(Target(), "does not speak TLS");
}

TEST_F(TlsTest, AClientWithoutTheCertificateThatIsWanted) {
  Use(ServerPair(authority_, {"localhost"}, kHour), true);
  ExpectRefused(Target(), "wants a certificate of its client");
  ServerTarget stranger = Target();
  const KeyPair other =
      *MakeClientCertificate(*MakeAuthority("theirs", kHour), "mallory", kHour);
  stranger.certificate = other.certificate;
  stranger.key = other.key;
  ExpectRefused(stranger, "does not accept the certificate of --cert");

  ServerTarget known = Target();
  const KeyPair ours = *MakeClientCertificate(authority_, "alice", kHour);
  known.certificate = ours.certificate;
  known.key = ours.key;
  EXPECT_TRUE(Call(known).ok()) << Call(known);
}

TEST_F(TlsTest, NoServerIsNoQuestionOfTls) {
  const ServerTarget target = Target();
  server_.reset();
  const absl::Status status = Call(target);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no server at"));
}

TEST_F(TlsTest, FilesThatDoNotFitAreRefusedBeforeServing) {
  RpcServerOptions options;
  options.tls.certificate = Write("a.crt", authority_.certificate);
  options.tls.key = Write("a.key", MakeAuthority("b", kHour)->key);
  const RpcBackends backends{&store_, &planner_, &observer_, &access_,
                             {},      {},        {}};
  EXPECT_THAT(
      std::string(RpcServer::Start(options, backends).status().message()),
      AllOf(HasSubstr("a.crt"), HasSubstr("the key is not the certificate's")));
  options.tls.key = "";
  EXPECT_THAT(
      std::string(RpcServer::Start(options, backends).status().message()),
      HasSubstr("--tls-key"));
  options.tls = {"", Write("a.key", authority_.key), ""};
  EXPECT_THAT(
      std::string(RpcServer::Start(options, backends).status().message()),
      HasSubstr("need --tls-certificate"));
}

TEST_F(TlsTest, OtherMachinesAreServedWhereTheyAreKnown) {
  RpcServerOptions options;
  options.address = "0.0.0.0:0";
  options.tls.certificate = folder_ + "/server.crt";
  options.tls.key = folder_ + "/server.key";
  RpcBackends backends{&store_, &planner_, &observer_, &access_, {}, {}, {}};
  EXPECT_THAT(
      std::string(RpcServer::Start(options, backends).status().message()),
      HasSubstr("give --tokens or --tls-client-ca"));
  const auto access = AccessControl::WithTokens(
      Write("tokens", "alice read " + Sha256Hex("secret") + "\n"));
  ASSERT_TRUE(access.ok()) << access.status();
  backends.access = access->get();
  EXPECT_TRUE(RpcServer::Start(options, backends).ok());
  backends.access = &access_;
  options.tls.client_authorities = Write("ca.crt", authority_.certificate);
  EXPECT_TRUE(RpcServer::Start(options, backends).ok());
}

}  // namespace
}  // namespace kvrecall
