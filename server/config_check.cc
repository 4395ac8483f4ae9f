#include "server/config_check.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include <unistd.h>

#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "common/records_db/schema.h"
#include "server/access/certificates.h"
#include "server/access/token_list.h"
#include "server/assembly.h"
#include "server/bindable.h"
#include "server/engine/hf_model.h"
#include "server/engine/model_locator.h"
#include "server/observability/metrics_server.h"
#include "server/runner/prompt_builder.h"
#include "server/service/rpc_server.h"
#include "server/service/server_credentials.h"
#include "server/store/process_lock.h"
#include "server/store/room.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// A folder, or the one that the first folder to be made would lie in.
std::string NearestFolder(fs::path folder) {
  std::error_code error;
  while (!folder.empty() && !fs::exists(folder, error) &&
         folder != folder.parent_path())
    folder = folder.parent_path();
  return folder.empty() ? "." : folder.string();
}

absl::Status CheckFolderWritable(const std::string& folder) {
  if (access(folder.c_str(), W_OK | X_OK) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      folder, ": no files can be made there: ", std::strerror(errno)));
}

absl::StatusOr<std::string> CheckModel(const ServerOptions& options) {
  ASSIGN_OR_RETURN(const LocatedModel located,
                   LocateModel(options.model, ReadHubEnvironment()));
  RETURN_IF_ERROR(PromptBuilder::Load(located.directory).status());
  if (options.scripted)
    return absl::StrCat("scripted, with the tokenizer of ", located.name);
  ASSIGN_OR_RETURN(
      const ModelInfo info,
      CheckHfModel(located.directory, HfOptionsOf(options, located.name)));
  return absl::StrFormat(
      "%s (%s): %d MiB as %s on %s, %d threads; texts of up to %d positions "
      "(%s)",
      info.name, info.architecture, info.weight_bytes >> 20, info.dtype,
      info.device, info.threads, info.context_window, info.context_limit);
}

// The folder of the default database is made when a server starts.
absl::StatusOr<std::string> CheckDatabase(const ServerOptions& options) {
  std::string path = options.database;
  std::error_code error;
  if (path.empty()) {
    ASSIGN_OR_RETURN(path, DefaultDatabase());
    const fs::path folder = fs::path(path).parent_path();
    if (!fs::exists(folder, error)) {
      RETURN_IF_ERROR(CheckFolderWritable(NearestFolder(folder)));
      return absl::StrCat(path, ": will be made");
    }
  }
  // First the path's own errors; a database in use is not read.
  RETURN_IF_ERROR(CheckDatabasePath(path));
  RETURN_IF_ERROR(ProcessLock::Check(path));
  ASSIGN_OR_RETURN(const int64_t version, CheckForWriting(path));
  // SQLite's log and the lock lie beside it.
  const std::string folder = NearestFolder(fs::path(path).parent_path());
  RETURN_IF_ERROR(CheckFolderWritable(folder));
  const std::string what =
      version == 0 ? "will be made"
      : version == kSchemaVersion
          ? absl::StrCat("version ", version)
          : absl::StrCat("version ", version, ", will be brought to version ",
                         kSchemaVersion);
  const int64_t free_mib = FreeDiskBytes(folder) >> 20;
  return absl::StrCat(path, ": ", what, "; ", free_mib, " MiB free",
                      free_mib < options.min_free_disk_mib
                          ? ", less than --min-free-disk: new work will be "
                            "refused"
                          : "");
}

absl::StatusOr<int64_t> CountTokens(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  const absl::StatusOr<TokenList> tokens = TokenList::Parse(text);
  if (!tokens.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", tokens.status().message()));
  return static_cast<int64_t>(tokens->entries().size());
}

absl::StatusOr<std::string> DescribeEncryption(const TlsFiles& files) {
  RETURN_IF_ERROR(MakeServerCredentials(files).status());
  if (files.certificate.empty()) return std::string("not encrypted");
  ASSIGN_OR_RETURN(const std::string certificate,
                   ReadWholeFile(files.certificate));
  ASSIGN_OR_RETURN(const absl::Time expiry, ExpiryOf(certificate));
  return absl::StrCat(
      "encrypted, certificate valid until ",
      absl::FormatTime("%Y-%m-%d", expiry, absl::UTCTimeZone()),
      files.client_authorities.empty() ? "" : ", clients need one, too");
}

absl::StatusOr<std::string> CheckListening(const ServerOptions& options) {
  const RpcServerOptions rpc = RpcOptionsOf(options);
  RETURN_IF_ERROR(CheckListenAddress(rpc, !options.tokens.empty()));
  ASSIGN_OR_RETURN(const std::string encryption, DescribeEncryption(rpc.tls));
  RETURN_IF_ERROR(CheckBindable(rpc.address));
  return absl::StrCat(rpc.address, ": ", encryption);
}

absl::StatusOr<std::string> CheckTokens(const ServerOptions& options) {
  if (options.tokens.empty())
    return std::string("none: whoever reaches the server may do everything");
  ASSIGN_OR_RETURN(const int64_t tokens, CountTokens(options.tokens));
  return absl::StrCat(options.tokens, ": ", tokens, " tokens");
}

absl::StatusOr<std::string> CheckMetrics(const ServerOptions& options) {
  if (options.metrics.empty()) return std::string("none");
  RETURN_IF_ERROR(MetricsServer::CheckAddress(options.metrics));
  RETURN_IF_ERROR(CheckBindable(options.metrics));
  return options.metrics;
}

absl::StatusOr<std::string> CheckPortFile(const ServerOptions& options) {
  const fs::path folder = fs::path(options.port_file).parent_path();
  const absl::Status status =
      CheckFolderWritable(folder.empty() ? "." : folder.string());
  if (!status.ok())
    return absl::PermissionDeniedError(
        absl::StrCat("cannot write the port file ", options.port_file, ": ",
                     status.message()));
  return options.port_file;
}

void Add(const char* what, const absl::StatusOr<std::string>& said,
         ConfigReport& report) {
  if (said.ok())
    report.summary.emplace_back(what, *said);
  else
    report.problems.push_back(
        absl::StrCat(what, ": ", said.status().message()));
}

}  // namespace

ConfigReport CheckConfig(const ServerOptions& options) {
  ConfigReport report;
  Add("model", CheckModel(options), report);
  Add("database", CheckDatabase(options), report);
  Add("listen", CheckListening(options), report);
  Add("tokens", CheckTokens(options), report);
  Add("metrics", CheckMetrics(options), report);
  if (!options.port_file.empty())
    Add("port file", CheckPortFile(options), report);
  return report;
}

}  // namespace kvrecall
