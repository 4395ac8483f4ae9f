#include "client/cli.h"

#include <string>

#include "absl/strings/str_join.h"

#include "client/commands/admin.h"
#include "client/commands/analyze.h"
#include "client/commands/cancel.h"
#include "client/commands/command.h"
#include "client/commands/compare.h"
#include "client/commands/data.h"
#include "client/commands/export.h"
#include "client/commands/health.h"
#include "client/commands/merge.h"
#include "client/commands/plot.h"
#include "client/commands/policies.h"
#include "client/commands/pull.h"
#include "client/commands/report.h"
#include "client/commands/runs.h"
#include "client/commands/show.h"
#include "client/commands/submit.h"
#include "client/commands/tasks.h"
#include "client/commands/tokenize.h"
#include "client/commands/watch.h"
#include "client/server_target.h"

namespace kvrecall {
namespace {

int Fail(const Environment& environment, const absl::Status& status) {
  *environment.err << "kvrecall-client: " << status.message() << std::endl;
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return kExitUsage;
    default:
      return kExitError;
  }
}

void AddServerOptions(CLI::App& app, ServerChoice& server) {
  const char* const kGroup = "Server";
  app.add_option("--server", server.address,
                 "host:port of the server, or of several by commas, which "
                 "share a study's samples (or set KVRECALL_SERVER)")
      ->capture_default_str()
      ->group(kGroup);
  app.add_option("--ca", server.authority,
                 "PEM file of the authority that vouches for the server, its "
                 "ca.crt, or 'system': encrypts the connection (or set "
                 "KVRECALL_CA)")
      ->group(kGroup);
  app.add_option("--token-file", server.token_file,
                 "file of your token (or set KVRECALL_TOKEN_FILE, or "
                 "KVRECALL_TOKEN to the token itself)")
      ->group(kGroup);
  app.add_option("--cert", server.certificate,
                 "PEM file of your certificate, where the server wants one "
                 "(or set KVRECALL_CERT)")
      ->group(kGroup);
  app.add_option("--key", server.key, "PEM file of its key (or KVRECALL_KEY)")
      ->group(kGroup);
}

}  // namespace

int RunCli(int argc, const char* const* argv, const Environment& environment,
           Interrupt& interrupt) {
  CommandContext context{.environment = environment,
                         .interrupt = interrupt,
                         .server = environment.server,
                         .run = nullptr};
  CLI::App app("Measures token entropy and KV-cache recall on a server",
               "kvrecall-client");
  app.set_version_flag("--version", KVRECALL_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // --server may stand behind the subcommand
  AddServerOptions(app, context.server);
  AddSubmitCommand(app, context);
  AddTasksCommand(app, context);
  AddDataCommand(app, context);
  AddPoliciesCommand(app, context);
  AddRunsCommand(app, context);
  AddShowCommand(app, context);
  AddWatchCommand(app, context);
  AddCancelCommand(app, context);
  AddAnalyzeCommand(app, context);
  AddPlotCommand(app, context);
  AddReportCommand(app, context);
  AddCompareCommand(app, context);
  AddExportCommand(app, context);
  AddPullCommand(app, context);
  AddMergeCommand(app, context);
  AddTokenizeCommand(app, context);
  AddHealthCommand(app, context);
  AddAdminCommand(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {  // help and version
    return app.exit(e, *environment.out, *environment.err);
  } catch (const CLI::ParseError& e) {
    return Fail(environment, absl::InvalidArgumentError(e.what()));
  }
  const auto addresses = ServerAddresses(context.server.address);
  if (!addresses.ok()) return Fail(environment, addresses.status());
  context.server.address = absl::StrJoin(*addresses, ",");
  const absl::StatusOr<int> exit_code = context.run();
  return exit_code.ok() ? *exit_code : Fail(environment, exit_code.status());
}

}  // namespace kvrecall
