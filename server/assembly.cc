#include "server/assembly.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

#include "common/base/status_macros.h"
#include "common/base/version.h"
#include "common/longbench/task.h"
#include "common/record/run_difference.h"
#include "server/engine/model_locator.h"
#include "server/engine/scripted_model.h"
#include "server/runner/planner.h"

namespace kvrecall {
namespace {

std::unique_ptr<Model> MakeScripted(const ServerOptions& options,
                                    const Tokenizer& tokenizer) {
  ScriptedModelOptions scripted;
  scripted.vocabulary = tokenizer.VocabularySize();
  if (options.max_context > 0) scripted.context_window = options.max_context;
  scripted.prefill_chunk =
      options.prefill_chunk > 0 ? options.prefill_chunk : 512;
  // All on the engine thread.
  const auto left = std::make_shared<int64_t>(options.scripted_lost_at);
  scripted.hook = [delay = absl::Milliseconds(options.scripted_delay_ms),
                   left](const ScriptedPoint& point) {
    if (delay > absl::ZeroDuration()) absl::SleepFor(delay);
    if (point.phase == ScriptedPoint::Phase::kStep && *left > 0 && --*left == 0)
      return absl::InternalError("made up");
    return absl::OkStatus();
  };
  scripted.device = [left, can_be_lost = *left > 0] {
    return can_be_lost && *left == 0 ? absl::InternalError("lost, as asked")
                                     : absl::OkStatus();
  };
  return MakeScriptedModel(std::move(scripted));
}

// What "auto" means: the template that the first task with one would get.
std::string DescribeAutoTemplate(const PromptBuilder& prompts) {
  for (const Task& task : AllTasks()) {
    if (!task.chat) continue;
    const auto description = prompts.DescribeChatTemplate(task, "auto");
    return description.ok() ? *description : "not understood";
  }
  return "none";
}

}  // namespace

absl::StatusOr<LoadedModel> LoadModel(const ServerOptions& options) {
  LoadedModel loaded;
  ASSIGN_OR_RETURN(const LocatedModel located,
                   LocateModel(options.model, ReadHubEnvironment()));
  ASSIGN_OR_RETURN(loaded.prompts, PromptBuilder::Load(located.directory));
  if (options.scripted) {
    loaded.model = MakeScripted(options, loaded.prompts->tokenizer());
    return loaded;
  }
  ASSIGN_OR_RETURN(
      loaded.model,
      LoadHfModel(located.directory, HfOptionsOf(options, located.name)));
  return loaded;
}

HfModelOptions HfOptionsOf(const ServerOptions& options,
                           const std::string& name) {
  HfModelOptions hf;
  hf.name = name;
  hf.dtype = options.dtype;
  hf.device = options.device;
  hf.threads = options.threads;
  hf.max_context = options.max_context;
  hf.prefill_chunk = options.prefill_chunk;
  return hf;
}

RpcServerOptions RpcOptionsOf(const ServerOptions& options) {
  RpcServerOptions rpc;
  rpc.address = options.listen;
  rpc.allow_plaintext_remote = options.allow_plaintext_remote;
  rpc.tls = {options.tls_certificate, options.tls_key, options.tls_client_ca};
  return rpc;
}

absl::StatusOr<Plan> ModelPlanner::Complete(RunConfig requested) {
  Plan plan;
  ASSIGN_OR_RETURN(plan.provenance,
                   DescribeProvenance(requested, model_, prompts_));
  plan.config = std::move(requested);
  return plan;
}

std::string ModelPlanner::WhyNot(const RunInfo& run) {
  absl::StatusOr<Plan> plan = Complete(run.config);
  if (!plan.ok())
    return absl::StrCat("this server cannot compute it: ",
                        plan.status().message());
  RunInfo here;
  here.config = std::move(plan->config);
  here.provenance = std::move(plan->provenance);
  const std::string difference = RunDifference(run, here);
  if (!difference.empty())
    return absl::StrCat("it and this server differ in ", difference);
  // Its longest texts would fail, for good. As CompleteDefaults, when the run
  // was made; what is free of the memory may have a part in the window.
  const int64_t positions =
      run.config.max_prompt_tokens + run.config.max_new_tokens;
  if (positions > model_.context_window)
    return absl::StrCat("its texts may have ", positions,
                        " positions, and this server's ",
                        model_.context_window);
  return "";
}

TokenizeFunction TokenizeWith(const PromptBuilder& prompts) {
  return [&tokenizer = prompts.tokenizer()](std::string_view text,
                                            bool add_special_tokens) {
    TokenizedText tokenized;
    EncodeOptions options;
    options.add_special_tokens = add_special_tokens;
    tokenized.ids = tokenizer.Encode(text, options);
    for (const int64_t& id : tokenized.ids)
      tokenized.tokens.push_back(
          tokenizer.Decode({&id, 1}, /*skip_special_tokens=*/false));
    return tokenized;
  };
}

v1::Model DescribeModel(const LoadedModel& loaded) {
  const ModelInfo& info = loaded.model->info();
  v1::Model model;
  model.set_name(info.name);
  model.set_architecture(info.architecture);
  model.set_model_digest(info.digest);
  model.set_tokenizer_digest(loaded.prompts->tokenizer().digest());
  model.set_layers(info.layers);
  model.set_query_heads(info.query_heads);
  model.set_kv_heads(info.kv_heads);
  model.set_head_dim(info.head_dim);
  model.set_hidden_size(info.hidden_size);
  model.set_vocabulary(info.vocabulary);
  model.set_context_window(info.context_window);
  for (int64_t id : info.eos_token_ids) model.add_eos_token_ids(id);
  model.set_dtype(info.dtype);
  model.set_device(info.device);
  model.set_weight_bytes(info.weight_bytes);
  model.set_kv_bytes_per_token(info.kv_bytes_per_token);
  model.set_chat_template(DescribeAutoTemplate(*loaded.prompts));
  return model;
}

absl::StatusOr<std::unique_ptr<Metrics>> MakeMetrics(
    const ServerOptions& options) {
  ASSIGN_OR_RETURN(
      const LaneLabels lanes,
      ParseLaneLabels(options.metrics_policies, options.metrics_budgets));
  if (options.metrics.empty()) return nullptr;
  return std::make_unique<Metrics>(lanes);
}

void DescribeTo(Metrics& metrics, const LoadedModel& loaded,
                const std::string& database, absl::Duration load_time) {
  const ModelInfo& info = loaded.model->info();
  metrics.SetBuild({kVersion, kCommit, info.libtorch, SqliteVersion()});
  metrics.SetModel({info.name, info.digest, info.dtype, info.device,
                    info.context_window, load_time});
  metrics.SetDatabase(database);
  metrics.SetDevice([&model = *loaded.model] {
    const DeviceMemory memory = model.MemoryInUse();
    return GpuMemory{static_cast<double>(memory.allocated),
                     static_cast<double>(memory.reserved),
                     static_cast<double>(memory.total)};
  });
}

v1::ServerInfo DescribeServer(const std::string& database) {
  v1::ServerInfo info;
  info.set_version(kVersion);
  info.set_commit(kCommit);
  info.set_database(database);
  return info;
}

}  // namespace kvrecall
