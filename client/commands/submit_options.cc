#include "client/commands/submit_options.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/data.h"
#include "client/forced_text.h"
#include "common/base/status_macros.h"
#include "common/longbench/shard.h"
#include "common/longbench/task.h"
#include "common/record/policy_catalog.h"

namespace kvrecall {
namespace {

// What --gap without a value means; else it names lanes.
constexpr char kDefaultGaps[] = "default";

// --force: a word of the API's, or the name of a file of texts.
absl::StatusOr<Force> ReadForce(const std::string& text) {
  if (text.empty()) return Force::kNone;
  if (text == ForceName(Force::kNone))
    return absl::InvalidArgumentError(
        "--force none: leave --force out to take the model's own text");
  if (text == ForceName(Force::kText))
    return absl::InvalidArgumentError(
        "--force text: give the name of the file that has the texts (JSON "
        "lines of _id and text); one that is called text is ./text");
  return text == ForceName(Force::kGold) ? Force::kGold : Force::kText;
}

absl::StatusOr<absl::Duration> ReadTimeLimit(const std::string& text) {
  if (text.empty()) return absl::InfiniteDuration();
  absl::Duration limit;
  if (!absl::ParseDuration(text, &limit) || limit <= absl::ZeroDuration() ||
      limit == absl::InfiniteDuration())
    return absl::InvalidArgumentError(
        absl::StrCat("--time-limit ", text,
                     ": expected a time above 0 such as 90s, 30m or 1h30m"));
  return limit;
}

bool IsCustom(const CustomSource& custom) {
  return !custom.prompt.empty() || !custom.jsonl.empty();
}

// Task and template: LongBench's by name, or samples of the user's own.
absl::Status ReadTask(const SubmitOptions& options, RunConfig& config) {
  const bool named = !config.task.empty();
  if (IsCustom(options.custom)) {
    if (named && config.task != kCustomTask)
      return absl::InvalidArgumentError(
          absl::StrCat("--task ", config.task,
                       " does not go with --prompt or --jsonl, "
                       "whose samples are of task custom; leave it out"));
    config.task = kCustomTask;
  } else if (config.task == kCustomTask) {
    return absl::InvalidArgumentError(
        "task custom needs samples: --prompt FILE or --jsonl FILE");
  } else if (!named) {
    return absl::InvalidArgumentError(
        "nothing to submit: give --task TASK, --prompt FILE or --jsonl FILE");
  } else if (!options.prompt_template.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--template is for --prompt and --jsonl; ", config.task,
                     " has its own"));
  }
  ASSIGN_OR_RETURN(config.prompt_template,
                   ReadTemplate(options.prompt_template));
  return absl::OkStatus();
}

absl::StatusOr<RunConfig> ReadConfig(const SubmitOptions& options) {
  RunConfig config = options.config;
  RETURN_IF_ERROR(ReadTask(options, config));
  ASSIGN_OR_RETURN(config.policies, ParsePolicyList(options.policies));
  ASSIGN_OR_RETURN(config.scopes, ParseScopes(options.scopes));
  ASSIGN_OR_RETURN(config.budgets, ParseBudgets(options.budgets));
  for (const PolicySpec& policy : config.policies) {
    RETURN_IF_ERROR(CompletePolicySpec(policy).status());
    RETURN_IF_ERROR(CheckScopes(policy, config.scopes));
  }
  if (options.gaps == kDefaultGaps) {
    config.gaps = DefaultGaps(config);
  } else if (!options.gaps.empty()) {
    ASSIGN_OR_RETURN(config.gaps, ParseGapSpecs(options.gaps));
  }
  ASSIGN_OR_RETURN(config.gaps, CompleteGaps(config));
  ASSIGN_OR_RETURN(config.force, ReadForce(options.force));
  return config;
}

absl::StatusOr<std::vector<Sample>> ReadAllSamples(
    const SubmitOptions& options, const RunConfig& config,
    const Environment& environment) {
  if (IsCustom(options.custom))
    return ReadCustomSamples(options.custom, config.prompt_template,
                             *environment.in);
  ASSIGN_OR_RETURN(const std::string path,
                   FindDataFile(config.task, options.data, environment));
  return ReadSamples(path);
}

absl::StatusOr<std::vector<Sample>> ReadTaskSamples(
    const SubmitOptions& options, const RunConfig& config,
    const Environment& environment) {
  ASSIGN_OR_RETURN(std::vector<Sample> samples,
                   ReadAllSamples(options, config, environment));
  if (options.limit > 0 && std::ssize(samples) > options.limit) {
    samples.resize(options.limit);
  }
  for (size_t i = 0; i < samples.size(); ++i)
    samples[i].ordinal = static_cast<int64_t>(i) + 1;
  if (config.force == Force::kText) {
    RETURN_IF_ERROR(ForceTexts(options.force, &samples));
  }
  if (options.shard.empty()) return samples;
  const absl::StatusOr<Shard> shard = ParseShard(options.shard);
  if (!shard.ok())
    return absl::InvalidArgumentError(
        absl::StrCat("--shard: ", shard.status().message()));
  return TakeShard(std::move(samples), *shard);
}

}  // namespace

absl::StatusOr<SubmitRequest> ReadSubmitRequest(
    const SubmitOptions& options, const Environment& environment) {
  SubmitRequest request;
  ASSIGN_OR_RETURN(request.config, ReadConfig(options));
  ASSIGN_OR_RETURN(request.time_limit, ReadTimeLimit(options.time_limit));
  ASSIGN_OR_RETURN(request.samples,
                   ReadTaskSamples(options, request.config, environment));
  return request;
}

void AddSubmitOptions(CLI::App& command, SubmitOptions& options) {
  options.config.chat_template = "auto";
  command.add_option("--task", options.config.task, "See `tasks`");
  auto* data =
      command.add_option("--data", options.data,
                         "JSONL file of the samples, or the folder it is in");
  auto* prompt =
      command
          .add_option("--prompt", options.custom.prompt,
                      "One prompt of your own: a file, or - for standard "
                      "input; in place of --task")
          ->excludes(data);
  command
      .add_option("--jsonl", options.custom.jsonl,
                  "Samples of your own, an object a line; in place of --task")
      ->excludes(data)
      ->excludes(prompt);
  command.add_option("--template", options.prompt_template,
                     "What their prompt is: text with the names of their "
                     "fields in braces, or @FILE that has it");
  command.add_option("--limit", options.limit, "The first N samples only")
      ->check(CLI::PositiveNumber);
  command.add_option("--shard", options.shard,
                     "The I-th of N parts of the samples (after --limit), I "
                     "from 0 to N-1: 0/4, 1/4, 2/4 and 3/4 together are all "
                     "of them; `merge` joins what they yield");
  command
      .add_option("--budgets", options.budgets,
                  "Positions to hold: ratios of the current length, "
                  "prompt:RATIO or tokens:N")
      ->capture_default_str();
  command
      .add_option("--policies", options.policies,
                  "Eviction policies, or all; see `policies`")
      ->capture_default_str();
  command.add_option("--scopes", options.scopes, "global, layer, head")
      ->capture_default_str();
  command
      .add_option("--gap", options.gaps,
                  "Measure the entropy gap in these lanes "
                  "(\"without_gold(0.1),only_pred(h2o,0.1)\"); without a "
                  "value at each budget, without the gold set and with h2o's "
                  "positions only")
      ->expected(0, 1)
      ->default_str(kDefaultGaps);
  command.add_option("--force", options.force,
                     "Take a given text for the model's own: gold (each "
                     "sample's first answer), or a JSONL file of _id and "
                     "text");
  command
      .add_option("--max-new-tokens", options.config.max_new_tokens,
                  "Tokens to generate at most (default: the task's)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--max-prompt-tokens", options.config.max_prompt_tokens,
                  "Truncate prompts in the middle above this (default: from "
                  "the model's window)")
      ->check(CLI::PositiveNumber);
  command.add_flag("--ignore-eos", options.config.ignore_eos,
                   "Always generate --max-new-tokens tokens");
  command
      .add_option("--chat-template", options.config.chat_template,
                  "auto, none or chatml")
      ->capture_default_str();
  command.add_flag("--fresh", options.fresh,
                   "Compute every sample, also those of which an earlier run "
                   "has records by the same program, model and options");
  command.add_option("--time-limit", options.time_limit,
                     "From now: what has not ended by then fails, and the "
                     "run ends (90s, 30m, 2h; default: none)");
  command.add_option("--request-id", options.request_id,
                     "A name for this submission, of 1 to 64 characters: "
                     "given again with the same options, the same run goes "
                     "on, for scripts that are started again");
  command.add_flag("--detach", options.detach,
                   "Do not wait for the run; print its name");
  command.add_flag("--json", options.json, "Print one JSON object");
}

}  // namespace kvrecall
