#include "client/environment.h"

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>

#include <sys/ioctl.h>
#include <unistd.h>

namespace kvrecall {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int TerminalColumns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return 80;
}

ServerChoice ServerFromVariables() {
  ServerChoice server;
  if (const std::string address = Variable("KVRECALL_SERVER"); !address.empty())
    server.address = address;
  server.authority = Variable("KVRECALL_CA");
  server.certificate = Variable("KVRECALL_CERT");
  server.key = Variable("KVRECALL_KEY");
  server.token = Variable("KVRECALL_TOKEN");
  server.token_file = Variable("KVRECALL_TOKEN_FILE");
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  server.user = Variable("USER") + "@" + host;
  return server;
}

// The XDG base directory rule: a variable that is unset, empty or relative
// does not count.
std::string DataHome() {
  const std::string home = Variable("XDG_DATA_HOME");
  if (home.starts_with('/')) return home;
  return Variable("HOME") + "/.local/share";
}

}  // namespace

Environment SystemEnvironment() {
  Environment environment;
  environment.in = &std::cin;
  environment.in_is_terminal = isatty(STDIN_FILENO) == 1;
  environment.out = &std::cout;
  environment.err = &std::cerr;
  environment.err_is_terminal = isatty(STDERR_FILENO) == 1;
  environment.err_columns = TerminalColumns;
  environment.server = ServerFromVariables();
  environment.longbench_url = Variable("KVRECALL_LONGBENCH_URL");
  environment.data_home = DataHome();
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) environment.executable_folder = self.parent_path().string();
  return environment;
}

}  // namespace kvrecall
