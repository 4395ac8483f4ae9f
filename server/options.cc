#include "server/options.h"

#include <cstdlib>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/base/version.h"
#include "server/access/access_folder.h"

namespace kvrecall {
namespace {

constexpr int64_t kMostMib = int64_t{1} << 40;  // 2^60 bytes
constexpr int64_t kMostDays = 36'500;

void AddModelFlags(CLI::App& app, ServerOptions& options) {
  app.add_option("--model", options.model,
                 "Hugging Face model directory, a downloaded model of the Hub "
                 "(owner/name or owner/name@revision), or nano (the embedded "
                 "model)");
  app.add_flag("--scripted", options.scripted,
               "made-up numbers in the place of a model, for tests; the "
               "tokenizer is --model's (default nano)");
  app.add_option("--scripted-delay-ms", options.scripted_delay_ms,
                 "time that each of its prefill chunks and steps takes")
      ->check(CLI::Range(0, 60000));
  app.add_option("--scripted-lost-at", options.scripted_lost_at,
                 "its device is lost at the N-th step; 0: never")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--dtype", options.dtype, "of weights and KV cache")
      ->check(CLI::IsMember({"auto", "float32", "bfloat16"}))
      ->capture_default_str();
  app.add_option("--device", options.device)
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--threads", options.threads,
                 "compute threads; 0: as many processors as this process may "
                 "use, a container's limit counted")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--max-context", options.max_context,
                 "positions of a sample at most; 0: the model's window, or "
                 "what memory has room for if that is less")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--prefill-chunk", options.prefill_chunk,
                 "queries per prefill chunk; 0: 512 on the CPU, 2048 on CUDA")
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
}

void AddServiceFlags(CLI::App& app, ServerOptions& options) {
  app.add_option("--listen", options.listen,
                 "host:port of the gRPC API; port 0: any free one")
      ->capture_default_str();
  app.add_flag("--allow-plaintext-remote", options.allow_plaintext_remote,
               "let --listen be an address that other machines reach, without "
               "encryption or authentication");
  app.add_option("--access", options.access,
                 "folder that 'kvrecall-server init' made: encrypts "
                 "connections, and lets in who has one of its tokens");
  app.add_option("--tls-certificate", options.tls_certificate,
                 "PEM file of a certificate (default: --access's)");
  app.add_option("--tls-key", options.tls_key, "PEM file of its key");
  app.add_option("--tls-client-ca", options.tls_client_ca,
                 "PEM file: only clients with a certificate by one of these "
                 "authorities are let in");
  app.add_option("--tokens", options.tokens,
                 "file of those who are let in (default: --access's); changes "
                 "count at once");
  app.add_option("--metrics", options.metrics,
                 "host:port of Prometheus metrics; empty: none")
      ->capture_default_str();
  app.add_option("--metrics-policies", options.metrics_policies,
                 "policies whose recall has metrics of its own, at most 6; the "
                 "others share theirs")
      ->capture_default_str();
  app.add_option("--metrics-budgets", options.metrics_budgets,
                 "budgets that have, at most 4")
      ->capture_default_str();
  app.add_option("--database", options.database,
                 "SQLite file of runs and records (default "
                 "$XDG_DATA_HOME/kvrecall/kvrecall.db)");
  app.add_option("--max-queue", options.max_queue,
                 "samples of all runs that wait or run, at most; 0: as many as "
                 "come")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-queue-tokens", options.max_queue_tokens,
                 "their tokens, estimated at four bytes each; 0: any number")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-queue-each", options.max_queue_each,
                 "samples of one client that wait or run; 0: any number")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-queue-tokens-each", options.max_queue_tokens_each,
                 "their tokens; 0: any number")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--min-free-disk", options.min_free_disk_mib,
                 "MiB; with less room on the database's disk new work is "
                 "refused")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--max-database-mib", options.max_database_mib,
                 "MiB; while the database has as much of records, new work is "
                 "refused; 0: no limit")
      ->check(CLI::Range(int64_t{0}, kMostMib))
      ->capture_default_str();
  app.add_option("--keep-days", options.keep_days,
                 "days after which runs that have ended are deleted; 0: never")
      ->check(CLI::Range(int64_t{0}, kMostDays))
      ->capture_default_str();
  app.add_option("--drain-seconds", options.drain_seconds,
                 "on SIGTERM, how long the running sample may go on")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--log-level", options.log_level)
      ->check(CLI::IsMember({"debug", "info", "warning", "error", "off"}))
      ->capture_default_str();
  app.add_flag("--check-config", options.check_config,
               "say what would keep a server with these options from serving, "
               "if anything, and end: no weights are read, nothing is changed");
  app.add_option_function<std::string>(
         "--log-format",
         [&options](const std::string& name) {
           options.log_format =
               name == "json" ? LogFormat::kJson : LogFormat::kText;
         },
         "text, or json: an object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
  app.add_option("--port-file", options.port_file,
                 "where to write the bound ports as JSON once it serves");
}

void FillInAccess(ServerOptions& options) {
  if (options.access.empty()) return;
  const AccessFolder folder(options.access);
  if (options.tls_certificate.empty() && options.tls_key.empty()) {
    options.tls_certificate = folder.certificate();
    options.tls_key = folder.key();
  }
  if (options.tokens.empty()) options.tokens = folder.tokens();
}

}  // namespace

absl::StatusOr<std::optional<ServerOptions>> ParseOptions(
    int argc, const char* const* argv, std::ostream& out) {
  ServerOptions options;
  CLI::App app(
      "Runs one model with full-cache inference and records token entropy and "
      "KV-cache recall",
      "kvrecall-server");
  app.set_version_flag("--version", absl::StrCat("kvrecall-server ", kVersion,
                                                 " (", kCommit, ")"));
  // As shells do it: the last of a repeated flag counts.
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.footer(
      "kvrecall-server init | token | certificate: who may call; see "
      "their --help");
  AddModelFlags(app, options);
  AddServiceFlags(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // help and version
    app.exit(success, out, out);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(
        absl::StrReplaceAll(error.what(), {{"\n", " "}}));
  }
  if (options.model.empty() && !options.scripted)
    return absl::InvalidArgumentError(
        "--model is required: a Hugging Face model directory, a downloaded "
        "model as owner/name, or nano for the embedded model");
  if (options.model.empty()) options.model = "nano";
  FillInAccess(options);
  return options;
}

absl::StatusOr<std::string> DefaultDatabase() {
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data != '\0')
    return absl::StrCat(data, "/kvrecall/kvrecall.db");
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0')
    return absl::StrCat(home, "/.local/share/kvrecall/kvrecall.db");
  return absl::FailedPreconditionError(
      "neither XDG_DATA_HOME nor HOME is set; say with --database where the "
      "records are to be kept");
}

}  // namespace kvrecall
