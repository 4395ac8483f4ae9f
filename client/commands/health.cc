#include "client/commands/health.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "client/connection.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

// A health check's own limit should be longer.
constexpr absl::Duration kTimeout = absl::Seconds(3);
constexpr absl::Duration kPause = absl::Milliseconds(200);

absl::StatusOr<absl::Duration> ReadWait(const std::string& text) {
  absl::Duration wait;
  if (!absl::ParseDuration(text, &wait) || wait < absl::ZeroDuration())
    return absl::InvalidArgumentError(absl::StrCat(
        "--wait ", text, ": expected a time such as 90s, 30m or 1h30m"));
  return wait;
}

// Whether asking again may help: not where TLS or a file is wrong.
bool MayChange(const absl::StatusOr<bool>& serving) {
  return serving.ok() ? !*serving
                      : absl::IsUnavailable(serving.status()) ||
                            absl::IsDeadlineExceeded(serving.status());
}

absl::StatusOr<int> CheckHealth(const std::string& wait_text,
                                const CommandContext& context) {
  ASSIGN_OR_RETURN(const absl::Duration wait, ReadWait(wait_text));
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  const absl::Time deadline = absl::Now() + wait;
  absl::StatusOr<bool> serving = connection.IsServing(kTimeout);
  while (MayChange(serving) && absl::Now() < deadline) {
    absl::SleepFor(std::min(kPause, deadline - absl::Now()));
    serving = connection.IsServing(kTimeout);
  }
  RETURN_IF_ERROR(serving.status());
  *context.environment.out << (*serving ? "serving" : "not serving")
                           << std::endl;
  return *serving ? kExitOk : kExitRunFailed;
}

}  // namespace

void AddHealthCommand(CLI::App& app, CommandContext& context) {
  auto wait = std::make_shared<std::string>("0");
  CLI::App* command = app.add_subcommand(
      "health",
      "Whether the server serves: exit status 0 if it does, 1 if it does not, "
      "3 if it cannot be reached");
  command->add_option("--wait", *wait,
                      "Ask until it serves, but no longer than this (90s, 5m; "
                      "default: ask once)");
  command->callback([wait, &context] {
    context.run = [wait, &context] { return CheckHealth(*wait, context); };
  });
}

}  // namespace kvrecall
