#include "client/commands/command.h"

#include "absl/strings/str_cat.h"

#include "client/connection.h"

namespace kvrecall {

std::string CommandFor(const CommandContext& context, const char* command,
                       const std::string& run_id) {
  const std::string& usual = context.environment.default_server.empty()
                                 ? std::string(kDefaultServer)
                                 : context.environment.default_server;
  return absl::StrCat("kvrecall-client ", command, " ", run_id,
                      context.server == usual
                          ? ""
                          : absl::StrCat(" --server ", context.server));
}

}  // namespace kvrecall
