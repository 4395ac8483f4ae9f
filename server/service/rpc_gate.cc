#include "server/service/rpc_gate.h"

#include <algorithm>
#include <atomic>
#include <random>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// A name of one's own choice is cut to what a token's may be.
constexpr size_t kLongestName = 64;

std::string_view View(grpc::string_ref text) {
  return {text.data(), text.size()};
}

// Empty where there is none; with several, as with none: nobody can tell which
// one counts.
std::string_view Header(const grpc::CallbackServerContext& context,
                        const char* name) {
  const auto [begin, end] = context.client_metadata().equal_range(name);
  if (begin == end || std::next(begin) != end) return "";
  return View(begin->second);
}

// Whom the client's certificate, which gRPC has checked, names.
std::string CertificateName(const grpc::CallbackServerContext& context) {
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return "";
  const auto names = auth->FindPropertyValues("x509_common_name");
  return names.empty() ? ""
                       : absl::CHexEscape(std::string(View(names.front())));
}

constexpr char kRequestIdHeader[] = "x-request-id";
constexpr size_t kLongestRequestId = 64;

bool IsRequestId(std::string_view text) {
  constexpr auto is_part = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kLongestRequestId &&
         std::all_of(text.begin(), text.end(), is_part);
}

// Of this process one after the other, from a random beginning: two servers'
// logs may lie in one place.
std::string NewRequestId() {
  static std::atomic<uint64_t> next = [] {
    std::random_device random;
    return uint64_t{random()} << 32 | random();
  }();
  return absl::StrCat(absl::Hex(next++, absl::kZeroPad16));
}

}  // namespace

std::string NameRequest(grpc::CallbackServerContext& context) {
  const std::string_view given = Header(context, kRequestIdHeader);
  std::string id = IsRequestId(given) ? std::string(given) : NewRequestId();
  context.AddInitialMetadata(kRequestIdHeader, id);
  return id;
}

absl::StatusOr<Caller> RpcGate::Admit(
    const grpc::CallbackServerContext& context, std::string_view method) const {
  ASSIGN_OR_RETURN(Caller caller,
                   access_.Admit(Header(context, "authorization"), method));
  if (caller.name.empty()) caller.name = CertificateName(context);
  if (caller.name.empty())
    caller.name = absl::CHexEscape(
        std::string(Header(context, "kvrecall-user").substr(0, kLongestName)));
  return caller;
}

}  // namespace kvrecall
