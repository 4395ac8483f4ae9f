#pragma once

// What the client takes from the process around it, in one place, so that
// tests give it another. Plain value; the streams outlive it.

#include <functional>
#include <istream>
#include <ostream>
#include <string>

#include "client/server_target.h"

namespace kvrecall {

struct Environment {
  std::istream* in = nullptr;        // where a file is named "-"
  bool in_is_terminal = false;       // somebody can be asked there
  std::ostream* out = nullptr;       // results
  std::ostream* err = nullptr;       // progress and messages
  bool err_is_terminal = false;      // draw a progress bar there
  std::function<int()> err_columns;  // width of that terminal, now
  // KVRECALL_SERVER, _CA, _CERT, _KEY, _TOKEN, _TOKEN_FILE, and who the user
  // is.
  ServerChoice server;
  std::string longbench_url;      // KVRECALL_LONGBENCH_URL, may be empty
  std::string data_home;          // $XDG_DATA_HOME, or what stands for it
  std::string executable_folder;  // where the program's file lies
};

// That of this process. The streams are std::cin, std::cout and std::cerr.
Environment SystemEnvironment();

}  // namespace kvrecall
