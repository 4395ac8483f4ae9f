#include "tests/bench/forced_run.h"

#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/status_macros.h"
#include "common/record/record.h"
#include "server/telemetry/distribution.h"
#include "server/telemetry/telemetry.h"

namespace kvrecall::bench {
namespace {

using Json = nlohmann::ordered_json;

struct ForcedTokens {
  std::vector<int64_t> prompt;  // not empty
  std::vector<int64_t> forced;  // y_1 … y_T, not empty
};

absl::StatusOr<std::vector<int64_t>> ReadIds(const Json& body,
                                             const std::string& field) {
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("'", field, "' must be a list of token ids, not empty"));
  const auto list = body.find(field);
  if (list == body.end() || !list->is_array() || list->empty()) return wrong;
  for (const Json& id : *list)
    if (!id.is_number_integer()) return wrong;
  return list->get<std::vector<int64_t>>();
}

absl::StatusOr<ForcedTokens> ReadTokens(const std::string& path) {
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  const Json body = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object())
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a JSON object"));
  ForcedTokens tokens;
  ASSIGN_OR_RETURN(tokens.prompt, ReadIds(body, "prompt"));
  ASSIGN_OR_RETURN(tokens.forced, ReadIds(body, "forced"));
  return tokens;
}

Json ToJson(const StepRecord& record, const RunConfig& run) {
  Json recalls = Json::array();
  const std::vector<Lane> lanes = Lanes(run);
  for (size_t i = 0; i < lanes.size(); ++i) {
    const RecallRecord& r = record.recalls[i];
    recalls.push_back({{"policy", run.policies[lanes[i].policy].ToString()},
                       {"scope", ScopeName(run.scopes[lanes[i].scope])},
                       {"budget", run.budgets[lanes[i].budget].ToString()},
                       {"k", r.k},
                       {"recall", r.recall},
                       {"chance", r.chance},
                       {"mass", r.mass},
                       {"mass_ratio", r.mass_ratio}});
  }
  return {{"step", record.step},         {"n", record.n},
          {"token_id", record.token_id}, {"entropy", record.entropy},
          {"logprob", record.logprob},   {"recalls", std::move(recalls)}};
}

class Run {
 public:
  Run(Model& model, const RunConfig& run) : model_(model), run_(run) {}

  absl::Status Prefill(const ForcedTokens& tokens) {
    const int64_t prompt = static_cast<int64_t>(tokens.prompt.size());
    const int64_t steps = static_cast<int64_t>(tokens.forced.size());
    ASSIGN_OR_RETURN(sequence_, model_.NewSequence(prompt + steps));
    ASSIGN_OR_RETURN(telemetry_,
                     SampleTelemetry::Create(
                         run_, {model_.info().layers, prompt, steps}, {0}));
    PrefillOptions options;
    options.windows = telemetry_->windows();
    ASSIGN_OR_RETURN(
        const PrefillObservation seen,
        model_.Prefill(*sequence_,
                       std::span(tokens.prompt).first(tokens.prompt.size() - 1),
                       options));
    telemetry_->Begin(seen, *sequence_);
    return absl::OkStatus();
  }

  // Feeds `token`; the text goes on with `next`.
  absl::StatusOr<StepRecord> Step(int64_t token, int64_t next) {
    const StepInput input{sequence_.get(), token};
    ASSIGN_OR_RETURN(const std::vector<StepObservation> seen,
                     model_.Step({&input, 1}));
    ASSIGN_OR_RETURN(const TokenDistribution distribution,
                     DescribeLogits(seen[0].logits));
    return telemetry_->Observe(
        seen[0].rows, distribution, next,
        LogProbability(seen[0].logits, distribution, next));
  }

 private:
  Model& model_;
  const RunConfig& run_;
  std::unique_ptr<Sequence> sequence_;
  std::unique_ptr<SampleTelemetry> telemetry_;
};

}  // namespace

absl::Status ForcedRun(Model& model, const RunConfig& run,
                       const std::string& tokens_path,
                       const std::string& records_path) {
  ASSIGN_OR_RETURN(const ForcedTokens tokens, ReadTokens(tokens_path));
  RETURN_IF_ERROR(CheckTokens(tokens.prompt, model.info()));
  RETURN_IF_ERROR(CheckTokens(tokens.forced, model.info()));
  Run forced(model, run);
  RETURN_IF_ERROR(forced.Prefill(tokens));
  std::ofstream out(records_path);
  int64_t token = tokens.prompt.back();
  for (const int64_t next : tokens.forced) {
    ASSIGN_OR_RETURN(const StepRecord record, forced.Step(token, next));
    out << ToJson(record, run) << "\n";
    token = next;
  }
  if (!out.flush())
    return absl::UnavailableError(absl::StrCat("cannot write ", records_path));
  return absl::OkStatus();
}

}  // namespace kvrecall::bench
