#pragma once

// What `submit` is told: its options, and what they ask for.

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

#include "client/custom_samples.h"
#include "client/environment.h"
#include "common/longbench/jsonl.h"
#include "common/record/run_config.h"

namespace kvrecall {

struct SubmitOptions {
  RunConfig config;  // what of it is an option of its own
  std::string data;
  CustomSource custom;
  std::string prompt_template;  // as --template has it
  std::string policies = "h2o,random,oracle";
  std::string scopes = "global,layer";
  std::string budgets = "0.1,0.2,0.3";
  std::string gaps;        // empty: none
  std::string force;       // empty: none
  int64_t limit = 0;       // samples; 0: all
  std::string shard;       // empty: all of them
  std::string time_limit;  // empty: none
  std::string request_id;  // empty: a new one
  bool fresh = false;
  bool detach = false;
  bool json = false;
};

// Declares them.
void AddSubmitOptions(CLI::App& command, SubmitOptions& options);

// What is to be run.
struct SubmitRequest {
  RunConfig config;
  absl::Duration time_limit = absl::InfiniteDuration();
  std::vector<Sample> samples;  // with their places; a shard may have none
};

// Checked as far as can be without a server, so that a typing error is answered
// at once. InvalidArgument and NotFound say what is wrong.
absl::StatusOr<SubmitRequest> ReadSubmitRequest(const SubmitOptions& options,
                                                const Environment& environment);

}  // namespace kvrecall
