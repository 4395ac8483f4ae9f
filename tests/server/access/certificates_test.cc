#include "server/access/certificates.h"

#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvrecall {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kDay = absl::Hours(24);

KeyPair Authority() { return *MakeAuthority("test", kDay); }

TEST(CertificatesTest, APairIsValidFromNowToItsEnd) {
  const std::vector<std::string> hosts = {"gpu1.lab", "127.0.0.1", "::1"};
  const auto pair = MakeServerCertificate(Authority(), hosts, kDay);
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_THAT(pair->certificate, StartsWith("-----BEGIN CERTIFICATE-----"));
  EXPECT_THAT(pair->key, StartsWith("-----BEGIN PRIVATE KEY-----"));
  const absl::Time now = absl::Now();
  EXPECT_TRUE(CheckKeyPair(*pair, now).ok());
  EXPECT_THAT(std::string(CheckKeyPair(*pair, now + 2 * kDay).message()),
              HasSubstr("expired on"));
  EXPECT_THAT(std::string(CheckKeyPair(*pair, now - kDay).message()),
              HasSubstr("not valid before"));
  const auto expiry = ExpiryOf(pair->certificate);
  ASSERT_TRUE(expiry.ok());
  EXPECT_NEAR(absl::ToDoubleSeconds(*expiry - now), 86400, 60);
}

TEST(CertificatesTest, WhatIsNoPairIsSaidInWords) {
  const KeyPair one = Authority(), other = Authority();
  const absl::Time now = absl::Now();
  EXPECT_THAT(
      std::string(CheckKeyPair({one.certificate, other.key}, now).message()),
      HasSubstr("the key is not the certificate's"));
  EXPECT_THAT(std::string(CheckKeyPair({"x", one.key}, now).message()),
              HasSubstr("not a certificate in PEM"));
  EXPECT_THAT(std::string(CheckKeyPair({one.certificate, ""}, now).message()),
              HasSubstr("not an unencrypted private key in PEM"));
}

TEST(CertificatesTest, HostsThatAreNoneAreNamed) {
  const KeyPair authority = Authority();
  for (const std::string host : {"", "a b", "a,DNS:evil", "a:1", "h\xC3\xA9"}) {
    const auto pair = MakeServerCertificate(authority, std::vector{host}, kDay);
    EXPECT_EQ(pair.status().code(), absl::StatusCode::kInvalidArgument) << host;
  }
  EXPECT_EQ(MakeServerCertificate(authority, {}, kDay).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(CertificatesTest, ADamagedAuthoritySignsNothing) {
  EXPECT_EQ(MakeClientCertificate({"x", "y"}, "alice", kDay).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvrecall
