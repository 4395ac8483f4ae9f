#include "client/tls_diagnosis.h"

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common/base/address.h"
#include "common/base/freed.h"

namespace kvrecall {
namespace {

using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;

Bio Reading(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

// OpenSSL writes to a socket that may be closed, and a signal would end the
// program. This thread gets none meanwhile.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec now{};
    if (!sigismember(&before_, SIGPIPE)) sigtimedwait(&pipe_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
};

class Socket {
 public:
  explicit Socket(int file) : file_(file) {}
  ~Socket() {
    if (file_ >= 0) close(file_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return file_; }

 private:
  const int file_;
};

bool ConnectWithin(int file, const addrinfo& address, absl::Duration timeout) {
  const int flags = fcntl(file, F_GETFL);
  fcntl(file, F_SETFL, flags | O_NONBLOCK);
  if (connect(file, address.ai_addr, address.ai_addrlen) != 0) {
    pollfd waiting{file, POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof(error);
    if (errno != EINPROGRESS ||
        poll(&waiting, 1,
             static_cast<int>(absl::ToInt64Milliseconds(timeout))) != 1 ||
        getsockopt(file, SOL_SOCKET, SO_ERROR, &error, &size) != 0 ||
        error != 0)
      return false;
  }
  fcntl(file, F_SETFL, flags);
  return true;
}

// A TCP connection whose reads and writes give up after `timeout`; -1 where
// there is none.
int ConnectTo(const std::string& address, absl::Duration timeout) {
  const std::string host(HostOf(address));
  const std::string port = address.substr(address.rfind(':') + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return -1;
  const std::unique_ptr<addrinfo, Freed<freeaddrinfo>> addresses(found);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const int file = socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, 0);
    if (file < 0) continue;
    if (ConnectWithin(file, *one, timeout)) {
      const timeval limit = absl::ToTimeval(timeout);
      setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
      return file;
    }
    close(file);
  }
  return -1;
}

void TrustAuthorities(SSL_CTX* context, const std::string& pem) {
  const Bio bio = Reading(pem);
  while (true) {
    const Certificate certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get());
  }
  ERR_clear_error();
}

void ShowCertificate(SSL_CTX* context, const ServerTarget& target) {
  if (target.certificate.empty()) return;
  const Certificate certificate(PEM_read_bio_X509(
      Reading(target.certificate).get(), nullptr, nullptr, nullptr));
  char none[] = "";
  const std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>> key(
      PEM_read_bio_PrivateKey(Reading(target.key).get(), nullptr, nullptr,
                              none));
  SSL_CTX_use_certificate(context, certificate.get());
  SSL_CTX_use_PrivateKey(context, key.get());
}

// OpenSSL's callback for when a server asks for a certificate.
int NoteThatAsked(SSL*, void* asked) {
  *static_cast<bool*>(asked) = true;
  return 1;
}

Context MakeContext(const ServerTarget& target, bool& asked_for_certificate) {
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_cert_cb(context.get(), NoteThatAsked, &asked_for_certificate);
  const unsigned char protocols[] = {2, 'h', '2'};
  SSL_CTX_set_alpn_protos(context.get(), protocols, sizeof(protocols));
  // The handshake goes on whatever the certificate is, so that there is
  // something to say of it. Nothing else is sent.
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  if (target.is_encrypted) {
    TrustAuthorities(context.get(), target.authorities);
    ShowCertificate(context.get(), target);
  }
  return context;
}

void ExpectHost(SSL* session, const std::string& host) {
  in6_addr address{};
  const bool is_address = inet_pton(AF_INET, host.c_str(), &address) == 1 ||
                          inet_pton(AF_INET6, host.c_str(), &address) == 1;
  if (is_address) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host.c_str());
  } else {
    SSL_set_tlsext_host_name(session, host.c_str());
    SSL_set1_host(session, host.c_str());
  }
}

// "gpu1, 127.0.0.1": whom a certificate is for.
std::string HostsOf(X509* certificate) {
  std::vector<std::string> hosts;
  const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(
          certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get());
       ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      const ASN1_IA5STRING* text = name->d.dNSName;
      hosts.emplace_back(
          reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<size_t>(ASN1_STRING_length(text)));
    } else if (name->type == GEN_IPADD) {
      const ASN1_OCTET_STRING* bytes = name->d.iPAddress;
      char text[INET6_ADDRSTRLEN] = "";
      inet_ntop(ASN1_STRING_length(bytes) == 4 ? AF_INET : AF_INET6,
                ASN1_STRING_get0_data(bytes), text, sizeof(text));
      hosts.emplace_back(text);
    }
  }
  return absl::StrJoin(hosts, ", ");
}

std::string WhyNotTrusted(const ServerTarget& target, X509* certificate,
                          long why) {
  const std::string server = absl::StrCat("the server at ", target.address);
  switch (why) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return absl::StrCat(server,
                          " shows a certificate that has expired; its operator "
                          "renews it with 'kvrecall-server init --renew'");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return absl::StrCat(server,
                          " shows a certificate that is not valid yet: is this "
                          "machine's clock right?");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return absl::StrCat(server, " shows a certificate for ",
                          HostsOf(certificate), ", not for ",
                          std::string(HostOf(target.address)),
                          "; use one of these names");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return absl::StrCat(server,
                          " shows a certificate by another authority than "
                          "--ca names: is that this server's ca.crt?");
    default:
      break;
  }
  return absl::StrCat(server, " shows a certificate that cannot be trusted: ",
                      X509_verify_cert_error_string(why));
}

// Why a server whose certificate is in order ended the connection. Not every
// one says so by an alert; gRPC's just closes it.
std::optional<std::string> WhyClosed(const ServerTarget& target,
                                     bool asked_for_certificate) {
  const int reason = ERR_GET_REASON(ERR_get_error());
  ERR_clear_error();
  const std::string server = absl::StrCat("the server at ", target.address);
  if (asked_for_certificate)
    return target.certificate.empty()
               ? absl::StrCat(server,
                              " wants a certificate of its client: give one "
                              "with --cert and --key")
               : absl::StrCat(server,
                              " does not accept the certificate of --cert: has "
                              "it expired, or is it another authority's?");
  if (reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_HTTP_REQUEST ||
      reason == SSL_R_PACKET_LENGTH_TOO_LONG)
    return absl::StrCat(server,
                        " does not speak TLS: leave out --ca (and "
                        "KVRECALL_CA), or start it with --access");
  return std::nullopt;
}

}  // namespace

std::optional<std::string> DiagnoseTls(const ServerTarget& target,
                                       absl::Duration timeout) {
  if (target.address.starts_with("unix:")) return std::nullopt;
  ERR_clear_error();
  const NoSigpipe no_sigpipe;
  const Socket socket(ConnectTo(target.address, timeout));
  if (socket.get() < 0) return std::nullopt;
  bool asked_for_certificate = false;
  const Context context = MakeContext(target, asked_for_certificate);
  const Session session(SSL_new(context.get()));
  if (target.is_encrypted)
    ExpectHost(session.get(), std::string(HostOf(target.address)));
  SSL_set_fd(session.get(), socket.get());

  bool is_done = SSL_connect(session.get()) == 1;
  if (!target.is_encrypted) {
    ERR_clear_error();
    // Anything but a TLS server leaves no certificate behind.
    const Certificate shown(SSL_get1_peer_certificate(session.get()));
    if (!is_done && shown == nullptr) return std::nullopt;
    return absl::StrCat("the server at ", target.address,
                        " speaks TLS: give its ca.crt with --ca or "
                        "KVRECALL_CA");
  }
  const long verified = SSL_get_verify_result(session.get());
  if (verified != X509_V_OK) {
    ERR_clear_error();
    const Certificate shown(SSL_get1_peer_certificate(session.get()));
    return WhyNotTrusted(target, shown.get(), verified);
  }
  // In TLS 1.3 a server says what it thinks of its client after the handshake.
  char byte = 0;
  if (is_done) is_done = SSL_read(session.get(), &byte, 1) == 1;
  if (is_done) {
    ERR_clear_error();
    return std::nullopt;
  }
  return WhyClosed(target, asked_for_certificate);
}

}  // namespace kvrecall
