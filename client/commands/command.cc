#include "client/commands/command.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/server_target.h"

namespace kvrecall {

std::string CommandFor(const CommandContext& context, const char* command,
                       const std::string& run_id) {
  const auto usual = ServerAddresses(context.environment.server.address);
  const bool is_usual =
      usual.ok() && context.server.address == absl::StrJoin(*usual, ",");
  return absl::StrCat(
      "kvrecall-client ", command, " ", run_id,
      is_usual ? "" : absl::StrCat(" --server ", context.server.address));
}

}  // namespace kvrecall
