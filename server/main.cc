// kvrecall-server: parse, open, load, serve, drain.
//
// Exit status: 0 after SIGTERM, SIGINT or a Drain, 2 for a bad command line, 1
// for whatever else keeps it from serving, each with one line on stderr.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "spdlog/spdlog.h"
#include <unistd.h>

#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "server/access/access_control.h"
#include "server/access/commands.h"
#include "server/assembly.h"
#include "server/config_check.h"
#include "server/engine/linear.h"
#include "server/log.h"
#include "server/observability/metrics.h"
#include "server/observability/metrics_server.h"
#include "server/options.h"
#include "server/runner/runner.h"
#include "server/service/rpc_server.h"
#include "server/service_manager.h"
#include "server/signals.h"
#include "server/store/sqlite_store.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kStreamGrace = absl::Seconds(5);

// The database's path; the folder of the default one is made.
absl::StatusOr<std::string> ChooseDatabase(const ServerOptions& options) {
  if (!options.database.empty()) return options.database;
  ASSIGN_OR_RETURN(std::string path, DefaultDatabase());
  const auto folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return absl::PermissionDeniedError(absl::StrCat(
        "cannot make the folder ", folder.string(), ": ", error.message()));
  return path;
}

absl::StatusOr<std::unique_ptr<AccessControl>> MakeAccess(
    const ServerOptions& options) {
  if (options.tokens.empty()) return std::make_unique<AccessControl>();
  return AccessControl::WithTokens(options.tokens);
}

// One line, so that no one wonders why a sample is too long.
void LogContext(const ModelInfo& info) {
  spdlog::info("a text may have {} positions{}{}", info.context_window,
               info.context_limit.empty() ? "" : ": ", info.context_limit);
}

// {"grpc": 50551, "metrics": 9464, "pid": 1}; whole once it is there.
absl::Status WritePortFile(const std::string& path, const RpcServer& rpc,
                           const MetricsServer* metrics) {
  nlohmann::ordered_json ports;
  ports["grpc"] = rpc.port();
  ports["metrics"] = nullptr;
  if (metrics != nullptr) ports["metrics"] = metrics->port();
  ports["pid"] = getpid();
  const std::string part = path + ".part";
  std::ofstream file(part);
  file << ports.dump() << '\n';
  file.close();
  std::error_code error;
  if (file.good()) std::filesystem::rename(part, path, error);
  if (!file.good() || error)
    return absl::PermissionDeniedError(
        absl::StrCat("cannot write the port file ", path));
  return absl::OkStatus();
}

absl::Status Serve(const ServerOptions& options, SignalWaiter& signals) {
  RETURN_IF_ERROR(CheckCpuKernels());
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics,
                   MakeMetrics(options));
  ASSIGN_OR_RETURN(const std::string database, ChooseDatabase(options));
  SqliteStoreOptions store_options;
  if (metrics != nullptr) store_options.observer = &metrics->store();
  store_options.limits = {options.max_queue, options.max_queue_tokens,
                          options.max_queue_each,
                          options.max_queue_tokens_each};
  store_options.min_free_bytes = options.min_free_disk_mib << 20;
  store_options.max_used_bytes = options.max_database_mib << 20;
  if (options.keep_days > 0)
    store_options.keep = absl::Hours(24 * options.keep_days);
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                   OpenSqliteStore(database, store_options));
  const absl::Time load_begin = absl::Now();
  ASSIGN_OR_RETURN(const LoadedModel loaded, LoadModel(options));
  std::unique_ptr<MetricsServer> metrics_server;
  if (metrics != nullptr) {
    DescribeTo(*metrics, loaded, database, absl::Now() - load_begin);
    ASSIGN_OR_RETURN(metrics_server,
                     MetricsServer::Start(options.metrics, metrics.get()));
  }
  // Who hears of the work where metrics do not.
  RunnerObserver no_runs;
  RpcObserver no_calls;

  ModelPlanner planner(loaded.model->info(), *loaded.prompts);
  RETURN_IF_ERROR(store->HoldRuns(
      [&planner](const RunInfo& run) { return planner.WhyNot(run); }));
  ASSIGN_OR_RETURN(const std::unique_ptr<AccessControl> access,
                   MakeAccess(options));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<RpcServer> rpc,
      RpcServer::Start(
          RpcOptionsOf(options),
          {store.get(), &planner,
           metrics != nullptr ? &metrics->calls() : &no_calls, access.get(),
           TokenizeWith(*loaded.prompts), DescribeModel(loaded),
           DescribeServer(database), [&signals] { signals.Request(); }}));
  // Set before the request that it causes is taken.
  absl::Status device;
  const std::unique_ptr<Runner> runner = Runner::Start(
      *loaded.model, *loaded.prompts, *store,
      metrics != nullptr ? metrics->runs() : no_runs,
      [&device, &signals](const absl::Status& why) {
        device = absl::UnavailableError(absl::StrCat(
            "the device has failed: ", why.message(),
            "; what ran is back in the queue: start the server again"));
        signals.Request();
      });
  if (metrics != nullptr) metrics->SetServing();
  signals.Arm();
  if (!options.port_file.empty())
    RETURN_IF_ERROR(
        WritePortFile(options.port_file, *rpc, metrics_server.get()));
  LogContext(loaded.model->info());
  spdlog::info("serving {} on {} (port {}), records in {}",
               loaded.model->info().name, options.listen, rpc->port(),
               database);
  NotifyServiceManager("READY=1");

  const int signal = signals.Wait();
  NotifyServiceManager("STOPPING=1");
  spdlog::info("{}: no new work; the running sample has {} s",
               signal == 0 ? "drain" : absl::StrCat("signal ", signal),
               options.drain_seconds);
  if (metrics != nullptr) metrics->SetDraining();
  rpc->BeginDrain();
  runner->Stop(absl::Seconds(options.drain_seconds));
  // The streams see what the last sample still yielded, as far as it is
  // committed; the rest they read when they come back.
  rpc->Shutdown(kStreamGrace);
  RETURN_IF_ERROR(store->Close());
  return device;
}

// The exit status of --check-config, after its answer.
int Report(const ConfigReport& report) {
  for (const std::string& problem : report.problems)
    std::fprintf(stderr, "kvrecall-server: %s\n", problem.c_str());
  if (!report.problems.empty()) return 1;
  std::printf("configuration is good\n");
  for (const auto& [what, summary] : report.summary)
    std::printf("  %-8s  %s\n", what.c_str(), summary.c_str());
  return 0;
}

// The exit status where every line is to be one of the log.
int LogEnd(const absl::Status& status) {
  if (status.ok()) return 0;
  spdlog::critical("{}", std::string(status.message()));
  return 1;
}

// The exit status, after one line if there is something to say.
int Report(const absl::Status& status, bool is_usage) {
  if (status.ok()) return 0;
  std::fprintf(stderr, "kvrecall-server: %s\n",
               std::string(status.message()).c_str());
  return is_usage ? 2 : 1;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  if (kvrecall::IsAccessCommand(argc, argv)) {
    const absl::Status status =
        kvrecall::RunAccessCommand(argc, argv, std::cout);
    return kvrecall::Report(status, absl::IsInvalidArgument(status));
  }
  const auto options = kvrecall::ParseOptions(argc, argv, std::cout);
  if (options.ok() && !options->has_value()) return 0;
  absl::Status status = options.status();
  if (status.ok() && (*options)->check_config) {
    return kvrecall::Report(kvrecall::CheckConfig(**options));
  }
  if (status.ok()) {
    kvrecall::SignalWaiter signals;
    kvrecall::SetUpLog((*options)->log_level, (*options)->log_format);
    status = kvrecall::Serve(**options, signals);
    if ((*options)->log_format == kvrecall::LogFormat::kJson)
      return kvrecall::LogEnd(status);
  }
  return kvrecall::Report(status, /*is_usage=*/!options.ok());
}
