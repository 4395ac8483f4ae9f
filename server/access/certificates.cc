#include "server/access/certificates.h"

#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/base/freed.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;

// Clocks of two machines differ; a certificate counts from a little earlier.
constexpr absl::Duration kClockSkew = absl::Hours(1);

absl::Status OpenSslError(std::string_view what) {
  char words[256] = "";
  ERR_error_string_n(ERR_get_error(), words, sizeof(words));
  ERR_clear_error();
  return absl::InternalError(
      absl::StrCat("OpenSSL: ", std::string(what), ": ", words));
}

Bio ReadBio(std::string_view text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

absl::StatusOr<Certificate> ParseCertificate(std::string_view pem) {
  Certificate certificate(
      PEM_read_bio_X509(ReadBio(pem).get(), nullptr, nullptr, nullptr));
  if (certificate != nullptr) return certificate;
  ERR_clear_error();
  return absl::InvalidArgumentError("not a certificate in PEM");
}

absl::StatusOr<Key> ParseKey(std::string_view pem) {
  // An empty password: without one OpenSSL would ask the terminal.
  char none[] = "";
  Key key(PEM_read_bio_PrivateKey(ReadBio(pem).get(), nullptr, nullptr, none));
  if (key != nullptr) return key;
  ERR_clear_error();
  return absl::InvalidArgumentError("not an unencrypted private key in PEM");
}

std::string Text(BIO* bio) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

absl::StatusOr<KeyPair> ToPem(X509* certificate, EVP_PKEY* key) {
  const Bio first(BIO_new(BIO_s_mem())), second(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(first.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(second.get(), key, nullptr, nullptr, 0,
                                    nullptr, nullptr) != 1)
    return OpenSslError("writing PEM");
  return KeyPair{Text(first.get()), Text(second.get())};
}

// What one certificate differs from another in.
struct Profile {
  std::string name;               // common name
  std::string alternative_names;  // "DNS:a,IP:b", may be empty
  std::string usage, extended_usage;
  bool is_authority = false;
};

absl::Status AddExtension(X509* certificate, X509* issuer, int id,
                          const std::string& value) {
  if (value.empty()) return absl::OkStatus();
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  if (extension == nullptr ||
      X509_add_ext(certificate, extension.get(), -1) != 1)
    return OpenSslError(absl::StrCat("extension ", OBJ_nid2sn(id)));
  return absl::OkStatus();
}

absl::Status FillIn(X509* certificate, EVP_PKEY* key, const Profile& profile,
                    absl::Duration lifetime) {
  const std::unique_ptr<BIGNUM, Freed<BN_free>> serial(BN_new());
  const absl::Time now = absl::Now();
  X509_NAME* name = X509_get_subject_name(certificate);
  if (X509_set_version(certificate, X509_VERSION_3) != 1 ||
      // 159 bits: what browsers and RFC 5280 allow, positive.
      BN_rand(serial.get(), 159, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) ==
          nullptr ||
      ASN1_TIME_set(X509_getm_notBefore(certificate),
                    absl::ToTimeT(now - kClockSkew)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(certificate),
                    absl::ToTimeT(now + lifetime)) == nullptr ||
      X509_set_pubkey(certificate, key) != 1 ||
      X509_NAME_add_entry_by_txt(
          name, "CN", MBSTRING_UTF8,
          reinterpret_cast<const unsigned char*>(profile.name.data()),
          static_cast<int>(profile.name.size()), -1, 0) != 1)
    return OpenSslError("filling in a certificate");
  return absl::OkStatus();
}

absl::Status AddExtensions(X509* certificate, X509* issuer,
                           const Profile& profile) {
  RETURN_IF_ERROR(AddExtension(
      certificate, issuer, NID_basic_constraints,
      profile.is_authority ? "critical,CA:TRUE,pathlen:0" : "CA:FALSE"));
  RETURN_IF_ERROR(
      AddExtension(certificate, issuer, NID_key_usage, profile.usage));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_ext_key_usage,
                               profile.extended_usage));
  RETURN_IF_ERROR(AddExtension(certificate, issuer, NID_subject_alt_name,
                               profile.alternative_names));
  RETURN_IF_ERROR(
      AddExtension(certificate, issuer, NID_subject_key_identifier, "hash"));
  return AddExtension(certificate, issuer, NID_authority_key_identifier,
                      "keyid:always");
}

// Signed by `authority`, or by itself where there is none.
absl::StatusOr<KeyPair> Make(const Profile& profile, absl::Duration lifetime,
                             const KeyPair* authority) {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate certificate(X509_new());
  if (key == nullptr || certificate == nullptr)
    return OpenSslError("making a key");
  RETURN_IF_ERROR(FillIn(certificate.get(), key.get(), profile, lifetime));
  Certificate issuer;
  Key signer;
  if (authority != nullptr) {
    ASSIGN_OR_RETURN(issuer, ParseCertificate(authority->certificate));
    ASSIGN_OR_RETURN(signer, ParseKey(authority->key));
  }
  X509* const by = issuer != nullptr ? issuer.get() : certificate.get();
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(by)) != 1)
    return OpenSslError("naming the issuer");
  RETURN_IF_ERROR(AddExtensions(certificate.get(), by, profile));
  if (X509_sign(certificate.get(), signer ? signer.get() : key.get(),
                EVP_sha256()) == 0)
    return OpenSslError("signing");
  return ToPem(certificate.get(), key.get());
}

// "IP:…" or "DNS:…".
absl::StatusOr<std::string> AlternativeName(const std::string& host) {
  in6_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) == 1 ||
      inet_pton(AF_INET6, host.c_str(), &address) == 1)
    return absl::StrCat("IP:", host);
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.*";
  if (host.empty() || host.size() > 253 ||
      host.find_first_not_of(kLetters) != std::string::npos)
    return absl::InvalidArgumentError(
        absl::StrCat("host '", absl::CHexEscape(host),
                     "' is neither a DNS name nor an IP address"));
  return absl::StrCat("DNS:", host);
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm parts{};
  ASN1_TIME_to_tm(time, &parts);
  return absl::FromTM(parts, absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<KeyPair> MakeAuthority(std::string_view name,
                                      absl::Duration lifetime) {
  Profile profile;
  profile.name = std::string(name);
  profile.usage = "critical,keyCertSign,cRLSign";
  profile.is_authority = true;
  return Make(profile, lifetime, nullptr);
}

absl::StatusOr<KeyPair> MakeServerCertificate(
    const KeyPair& authority, std::span<const std::string> hosts,
    absl::Duration lifetime) {
  if (hosts.empty())
    return absl::InvalidArgumentError("a server certificate needs a host");
  Profile profile;
  profile.name = "kvrecall-server";
  profile.usage = "critical,digitalSignature";
  profile.extended_usage = "serverAuth";
  for (const std::string& host : hosts) {
    ASSIGN_OR_RETURN(const std::string name, AlternativeName(host));
    absl::StrAppend(&profile.alternative_names,
                    profile.alternative_names.empty() ? "" : ",", name);
  }
  return Make(profile, lifetime, &authority);
}

absl::StatusOr<KeyPair> MakeClientCertificate(const KeyPair& authority,
                                              std::string_view name,
                                              absl::Duration lifetime) {
  Profile profile;
  profile.name = std::string(name);
  profile.usage = "critical,digitalSignature";
  profile.extended_usage = "clientAuth";
  return Make(profile, lifetime, &authority);
}

absl::Status CheckKeyPair(const KeyPair& pair, absl::Time now) {
  ASSIGN_OR_RETURN(const Certificate certificate,
                   ParseCertificate(pair.certificate));
  ASSIGN_OR_RETURN(const Key key, ParseKey(pair.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the key is not the certificate's");
  }
  const absl::Time begin = ToTime(X509_get0_notBefore(certificate.get()));
  const absl::Time end = ToTime(X509_get0_notAfter(certificate.get()));
  if (now < begin)
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate is not valid before ",
                     absl::FormatTime(begin), ": is the clock right?"));
  if (now >= end)
    return absl::InvalidArgumentError(
        absl::StrCat("the certificate expired on ", absl::FormatTime(end)));
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> ExpiryOf(std::string_view certificate) {
  ASSIGN_OR_RETURN(const Certificate parsed, ParseCertificate(certificate));
  return ToTime(X509_get0_notAfter(parsed.get()));
}

}  // namespace kvrecall
