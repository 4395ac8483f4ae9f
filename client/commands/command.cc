#include "client/commands/command.h"

#include "absl/strings/str_cat.h"

#include "client/server_target.h"

namespace kvrecall {

std::string CommandFor(const CommandContext& context, const char* command,
                       const std::string& run_id) {
  return absl::StrCat("kvrecall-client ", command, " ", run_id,
                      context.server.address ==
                              ServerAddress(context.environment.server.address)
                          ? ""
                          : absl::StrCat(" --server ", context.server.address));
}

}  // namespace kvrecall
