#pragma once

// What joins model, runner and service: the places where one part's types
// become another's.

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "kvrecall/v1/model_service.pb.h"
#include "server/engine/hf_model.h"
#include "server/engine/model.h"
#include "server/observability/metrics.h"
#include "server/options.h"
#include "server/runner/prompt_builder.h"
#include "server/service/model_service.h"
#include "server/service/rpc_server.h"
#include "server/service/run_planner.h"

namespace kvrecall {

// A model and what reads its prompts.
struct LoadedModel {
  std::unique_ptr<PromptBuilder> prompts;
  std::unique_ptr<Model> model;
};

// Loads what the options name. Errors are one line each.
absl::StatusOr<LoadedModel> LoadModel(const ServerOptions& options);

// What parts of the program take of the command line.
HfModelOptions HfOptionsOf(const ServerOptions& options,
                           const std::string& name);
RpcServerOptions RpcOptionsOf(const ServerOptions& options);

// The service's planner: policies, chat template and provenance by
// server/runner. Thread-safe.
class ModelPlanner final : public RunPlanner {
 public:
  // Both outlive it.
  ModelPlanner(const ModelInfo& model, const PromptBuilder& prompts)
      : model_(model), prompts_(prompts) {}

  absl::StatusOr<Plan> Complete(RunConfig requested) override;

  // Why this server cannot go on with the run, which began before it did: it
  // would give it other numbers, or has too little room. Empty: it can.
  std::string WhyNot(const RunInfo& run);

 private:
  const ModelInfo& model_;
  const PromptBuilder& prompts_;
};

// Null where none are wanted: then nobody counts. InvalidArgument names the
// flag.
absl::StatusOr<std::unique_ptr<Metrics>> MakeMetrics(
    const ServerOptions& options);

// What runs, and how much it takes. `loaded` outlives the metrics' use.
void DescribeTo(Metrics& metrics, const LoadedModel& loaded,
                const std::string& database, absl::Duration load_time);

// The answers of ModelService. `prompts` outlives the function.
TokenizeFunction TokenizeWith(const PromptBuilder& prompts);
v1::Model DescribeModel(const LoadedModel& loaded);
v1::ServerInfo DescribeServer(const std::string& database);

}  // namespace kvrecall
