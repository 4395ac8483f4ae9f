#pragma once

// The command line of kvrecall-server.

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"

#include "server/log.h"

namespace kvrecall {

struct ServerOptions {
  std::string model;              // a Hugging Face model directory, or "nano"
  bool scripted = false;          // no weights; the tokenizer is `model`'s
  int64_t scripted_delay_ms = 0;  // of each of its prefill chunks and steps
  int64_t scripted_lost_at = 0;   // its device is lost at that step; 0: never
  std::string listen = "127.0.0.1:50551";
  bool allow_plaintext_remote = false;
  // Made by `kvrecall-server init`; gives the files below where they are not
  // given themselves. Empty: neither TLS nor tokens unless they are.
  std::string access;
  std::string tls_certificate, tls_key, tls_client_ca, tokens;
  std::string metrics = "127.0.0.1:9464";  // empty: none
  // That metrics tell apart; see ParseLaneLabels.
  std::string metrics_policies = "h2o,h2o_evict,snapkv,streaming,random,oracle";
  std::string metrics_budgets = "0.1,0.2,0.3,0.5";
  std::string database;  // empty: DefaultDatabase()
  // Samples that wait or run, and their estimated tokens, of all clients and of
  // each; 0: any.
  int64_t max_queue = 100'000;
  int64_t max_queue_tokens = 0;
  int64_t max_queue_each = 0;
  int64_t max_queue_tokens_each = 0;
  int64_t min_free_disk_mib = 256;  // of the database's file system
  int64_t max_database_mib = 0;     // of records; 0: any
  int64_t keep_days = 0;            // after a run's end; 0: for ever
  std::string dtype = "auto";
  std::string device = "auto";
  int threads = 0;  // 0: as many processors as may be used
  // Positions; 0: the model's window, or what memory has room for.
  int64_t max_context = 0;
  int64_t prefill_chunk = 0;   // queries; 0: as suits the device
  int64_t drain_seconds = 30;  // for the sample that runs, at the end
  std::string log_level = "info";
  LogFormat log_format = LogFormat::kText;
  std::string port_file;      // empty: none
  bool check_config = false;  // say what a start would refuse, and end
};

// Reads the command line. Nothing: help or version was asked for and written
// to `out`. InvalidArgument, one line: what is wrong with which flag.
absl::StatusOr<std::optional<ServerOptions>> ParseOptions(
    int argc, const char* const* argv, std::ostream& out);

// kvrecall/kvrecall.db below $XDG_DATA_HOME, else below ~/.local/share.
// FailedPrecondition where neither that variable nor HOME is set.
absl::StatusOr<std::string> DefaultDatabase();

}  // namespace kvrecall
