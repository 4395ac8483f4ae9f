#include "server/access/commands.h"

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include <unistd.h>

#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "server/access/access_folder.h"

namespace kvrecall {
namespace {

constexpr std::string_view kCommands[] = {"init", "token", "certificate"};

struct Arguments {
  std::string folder;
  std::vector<std::string> hosts;
  bool renew = false;
  std::string name, scope = "submit", prefix;
};

// This machine's name first, as clients should use that one.
std::vector<std::string> AllHosts(const std::vector<std::string>& given) {
  std::vector<std::string> hosts = given;
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) == 0 && *name != '\0')
    hosts.push_back(name);
  for (const char* local : {"localhost", "127.0.0.1", "::1"})
    hosts.push_back(local);
  std::vector<std::string> once;
  for (const std::string& host : hosts)
    if (std::find(once.begin(), once.end(), host) == once.end())
      once.push_back(host);
  return once;
}

absl::Status PrintCertificate(const AccessFolder& folder,
                              const std::vector<std::string>& hosts,
                              std::ostream& out) {
  ASSIGN_OR_RETURN(const std::string certificate,
                   ReadWholeFile(folder.certificate()));
  ASSIGN_OR_RETURN(const absl::Time expiry, ExpiryOf(certificate));
  out << folder.certificate() << ": for " << absl::StrJoin(hosts, ", ")
      << ", until " << absl::FormatTime("%Y-%m-%d", expiry, absl::UTCTimeZone())
      << '\n';
  return absl::OkStatus();
}

absl::Status Init(const Arguments& arguments, std::ostream& out) {
  const AccessFolder folder(arguments.folder);
  const std::vector<std::string> hosts = AllHosts(arguments.hosts);
  if (arguments.renew) {
    RETURN_IF_ERROR(folder.Renew(hosts));
    return PrintCertificate(folder, hosts, out);
  }
  RETURN_IF_ERROR(folder.Create(hosts));
  RETURN_IF_ERROR(PrintCertificate(folder, hosts, out));
  ASSIGN_OR_RETURN(const std::string token,
                   folder.AddToken("admin", AccessScope::kAdmin));
  out << folder.authority() << ": clients need a copy of it\n"
      << "the token of 'admin', which is shown this once:\n\n  " << token
      << "\n\nserve with\n  kvrecall-server --access " << folder.path()
      << " --listen 0.0.0.0:50551 --model …\nmake tokens for others with\n"
      << "  kvrecall-server token add NAME --scope submit\non a laptop\n"
      << "  export KVRECALL_SERVER=" << hosts.front()
      << ":50551 KVRECALL_CA=ca.crt KVRECALL_TOKEN=kvr_…\n"
      << "  kvrecall-client tasks\n";
  return absl::OkStatus();
}

absl::Status AddToken(const Arguments& arguments, std::ostream& out) {
  const AccessFolder folder(arguments.folder);
  // CLI11 has checked it.
  const AccessScope scope = *AccessScopeOf(arguments.scope);
  ASSIGN_OR_RETURN(const std::string token,
                   folder.AddToken(arguments.name, scope));
  out << token << '\n';
  return absl::OkStatus();
}

absl::Status ListTokens(const Arguments& arguments, std::ostream& out) {
  ASSIGN_OR_RETURN(const TokenList list,
                   AccessFolder(arguments.folder).ReadTokens());
  for (const TokenEntry& entry : list.entries())
    out << entry.name << ' ' << AccessScopeName(entry.scope) << '\n';
  return absl::OkStatus();
}

absl::Status RemoveToken(const Arguments& arguments) {
  return AccessFolder(arguments.folder).RemoveToken(arguments.name);
}

absl::Status IssueCertificate(const Arguments& arguments, std::ostream& out) {
  const std::string prefix =
      arguments.prefix.empty() ? arguments.name : arguments.prefix;
  RETURN_IF_ERROR(AccessFolder(arguments.folder)
                      .IssueClientCertificate(arguments.name, prefix));
  out << prefix << ".crt, " << prefix << ".key: for the client's --cert and "
      << "--key\n";
  return absl::OkStatus();
}

// The subcommands; each sets `chosen` when it is named.
void Declare(CLI::App& app, Arguments& arguments, std::ostream& out,
             std::function<absl::Status()>& chosen) {
  const auto choose = [&chosen](CLI::App* command, auto what) {
    command->callback([&chosen, what] { chosen = what; });
  };
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--access", arguments.folder,
                 "folder of certificates and tokens (default "
                 "$XDG_CONFIG_HOME/kvrecall-server)");
  CLI::App* init = app.add_subcommand(
      "init", "make a certificate authority, a server certificate and a token");
  init->add_option("--host", arguments.hosts,
                   "name or address by which clients reach the server, beside "
                   "this machine's name and localhost; may be repeated");
  init->add_flag("--renew", arguments.renew,
                 "only a new server certificate, by the authority that there "
                 "is");
  choose(init, [&] { return Init(arguments, out); });

  CLI::App* token = app.add_subcommand("token", "who may call");
  token->require_subcommand(1);
  token->fallthrough();
  CLI::App* add = token->add_subcommand(
      "add", "make a token, print it, and keep its digest");
  add->add_option("NAME", arguments.name, "whose it is")->required();
  add->add_option("--scope", arguments.scope,
                  "read: look; submit: also make runs and cancel one's own; "
                  "admin: everything")
      ->check(CLI::IsMember({"read", "submit", "admin"}))
      ->capture_default_str();
  choose(add, [&] { return AddToken(arguments, out); });
  choose(token->add_subcommand("list", "names and scopes"),
         [&] { return ListTokens(arguments, out); });
  CLI::App* remove =
      token->add_subcommand("remove", "from now on that token is refused");
  remove->add_option("NAME", arguments.name)->required();
  choose(remove, [&] { return RemoveToken(arguments); });

  CLI::App* certificate = app.add_subcommand(
      "certificate", "make a client certificate, for --tls-client-ca");
  certificate->add_option("NAME", arguments.name, "whose it is")->required();
  certificate->add_option("--out", arguments.prefix,
                          "file name without its ending (default NAME)");
  choose(certificate, [&] { return IssueCertificate(arguments, out); });
}

}  // namespace

bool IsAccessCommand(int argc, const char* const* argv) {
  return argc > 1 && std::find(std::begin(kCommands), std::end(kCommands),
                               argv[1]) != std::end(kCommands);
}

absl::Status RunAccessCommand(int argc, const char* const* argv,
                              std::ostream& out) {
  Arguments arguments;
  std::function<absl::Status()> chosen;
  CLI::App app("Keeps who may call a kvrecall-server", "kvrecall-server");
  Declare(app, arguments, out, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // help
    app.exit(success, out, out);
    return absl::OkStatus();
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrReplaceAll(error.what(), {{"\n", " "}}));
  }
  if (arguments.folder.empty()) {
    ASSIGN_OR_RETURN(arguments.folder, DefaultAccessFolder());
  }
  return chosen();
}

}  // namespace kvrecall
