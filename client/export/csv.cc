#include "client/export/csv.h"

#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

#include "common/record/policy_spec.h"

namespace kvrecall {
namespace {

std::string Cell(double value) { return NumberText(value); }
std::string Cell(const std::optional<double>& value) {
  return value ? NumberText(*value) : "";
}

}  // namespace

std::string CsvCell(const std::string& text) {
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

CsvWriter::CsvWriter(std::ostream& out, const RunInfo& run,
                     std::map<std::string, int64_t> last_attempts)
    : out_(out),
      run_id_(CsvCell(run.run_id)),
      last_attempts_(std::move(last_attempts)) {
  const RunConfig& config = run.config;
  for (const Lane& lane : Lanes(config))
    lanes_.push_back(absl::StrCat(
        CsvCell(config.policies[static_cast<size_t>(lane.policy)].ToString()),
        ",",
        std::string(ScopeName(config.scopes[static_cast<size_t>(lane.scope)])),
        ",", config.budgets[static_cast<size_t>(lane.budget)].ToString()));
  out_ << "run,sample,attempt,step,n,token,entropy,p_max,margin,"
          "attention_entropy,policy,scope,budget,k,recall,chance,lift,mass,"
          "mass_ratio,recall_without_free_hits,drift,fetched_back\r\n";
}

absl::Status CsvWriter::Add(const Event& event) {
  const auto* step = std::get_if<StepRecord>(&event.body);
  if (step == nullptr) return absl::OkStatus();
  const auto attempt = last_attempts_.find(event.sample_id);
  if (attempt != last_attempts_.end() && attempt->second != event.attempt)
    return absl::OkStatus();
  if (step->recalls.size() != lanes_.size())
    return absl::DataLossError(absl::StrCat(
        "sample ", event.sample_id, ", step ", step->step, " has ",
        step->recalls.size(), " recalls; its run has ", lanes_.size(),
        " combinations of policy, scope and budget"));
  const std::string of_step =
      absl::StrCat(run_id_, ",", CsvCell(event.sample_id), ",", event.attempt,
                   ",", step->step, ",", step->n, ",", CsvCell(step->token),
                   ",", Cell(step->entropy), ",", Cell(step->p_max), ",",
                   Cell(step->margin), ",", Cell(step->attention_entropy), ",");
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const RecallRecord& recall = step->recalls[i];
    out_ << of_step << lanes_[i] << "," << recall.k << ","
         << Cell(recall.recall) << "," << Cell(recall.chance) << ","
         << Cell(recall.lift) << "," << Cell(recall.mass) << ","
         << Cell(recall.mass_ratio) << ","
         << Cell(recall.recall_without_free_hits) << "," << Cell(recall.drift)
         << "," << Cell(recall.fetched_back) << "\r\n";
  }
  return out_.good()
             ? absl::OkStatus()
             : absl::ResourceExhaustedError("the output cannot be written");
}

absl::Status CsvWriter::Finish() {
  out_.flush();
  return out_.good()
             ? absl::OkStatus()
             : absl::ResourceExhaustedError("the output cannot be written");
}

}  // namespace kvrecall
