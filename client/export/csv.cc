#include "client/export/csv.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "common/record/policy_spec.h"

namespace kvrecall {
namespace {

// What a row is made from.
struct Row {
  const RunInfo& run;
  const Event& event;
  const StepRecord& step;
  const Lane& lane;
  const RecallRecord& recall;
};

std::string Cell(int64_t value) { return absl::StrCat(value); }
std::string Cell(double value) { return NumberText(value); }
std::string Cell(const std::optional<double>& value) {
  return value ? NumberText(*value) : "";
}
std::string Cell(const std::string& text) { return CsvCell(text); }

struct Column {
  const char* name;
  std::string (*cell)(const Row& row);
};

// Of the step or the recall: its name is the field's.
#define KVR_CSV_FIELD(of, field)                              \
  {                                                           \
#field, [](const Row& row) { return Cell(row.of.field); } \
  }

constexpr Column kColumns[] = {
    {"run", [](const Row& row) { return Cell(row.run.run_id); }},
    {"sample", [](const Row& row) { return Cell(row.event.sample_id); }},
    {"attempt", [](const Row& row) { return Cell(row.event.attempt); }},
    KVR_CSV_FIELD(step, step),
    KVR_CSV_FIELD(step, n),
    KVR_CSV_FIELD(step, token),
    KVR_CSV_FIELD(step, entropy),
    KVR_CSV_FIELD(step, p_max),
    KVR_CSV_FIELD(step, margin),
    KVR_CSV_FIELD(step, attention_entropy),
    {"policy",
     [](const Row& row) {
       const auto& policies = row.run.config.policies;
       return Cell(policies[static_cast<size_t>(row.lane.policy)].ToString());
     }},
    {"scope",
     [](const Row& row) {
       const auto& scopes = row.run.config.scopes;
       return std::string(
           ScopeName(scopes[static_cast<size_t>(row.lane.scope)]));
     }},
    {"budget",
     [](const Row& row) {
       const auto& budgets = row.run.config.budgets;
       return budgets[static_cast<size_t>(row.lane.budget)].ToString();
     }},
    KVR_CSV_FIELD(recall, k),
    KVR_CSV_FIELD(recall, recall),
    KVR_CSV_FIELD(recall, chance),
    KVR_CSV_FIELD(recall, lift),
    KVR_CSV_FIELD(recall, mass),
    KVR_CSV_FIELD(recall, mass_ratio),
    KVR_CSV_FIELD(recall, recall_without_free_hits),
    KVR_CSV_FIELD(recall, drift),
    KVR_CSV_FIELD(recall, fetched_back),
};

#undef KVR_CSV_FIELD

// Their number where there is no such column.
size_t ColumnAt(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kColumns), std::end(kColumns),
                   [&](const Column& column) { return name == column.name; });
  return static_cast<size_t>(found - std::begin(kColumns));
}

absl::Status CheckWritten(const std::ostream& out) {
  return out.good()
             ? absl::OkStatus()
             : absl::ResourceExhaustedError("the output cannot be written");
}

}  // namespace

std::string CsvCell(const std::string& text) {
  if (text.find_first_of("\",\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

std::vector<std::string> CsvColumns() {
  std::vector<std::string> names;
  for (const Column& column : kColumns) names.emplace_back(column.name);
  return names;
}

absl::Status CheckCsvColumns(const std::vector<std::string>& columns) {
  for (auto name = columns.begin(); name != columns.end(); ++name) {
    if (ColumnAt(*name) == std::size(kColumns))
      return absl::InvalidArgumentError(
          absl::StrCat("no column '", *name, "'; there are ",
                       absl::StrJoin(CsvColumns(), ", ")));
    if (std::find(columns.begin(), name, *name) != name)
      return absl::InvalidArgumentError(
          absl::StrCat("column '", *name, "' is given twice"));
  }
  return absl::OkStatus();
}

CsvWriter::CsvWriter(std::ostream& out, const RunInfo& run,
                     std::map<std::string, int64_t> last_attempts,
                     const std::vector<std::string>& columns)
    : out_(out),
      run_(run),
      last_attempts_(std::move(last_attempts)),
      lanes_(Lanes(run.config)) {
  const std::vector<std::string> names =
      columns.empty() ? CsvColumns() : columns;
  for (const std::string& name : names) columns_.push_back(ColumnAt(name));
  out_ << absl::StrJoin(names, ",") << "\r\n";
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
  for (size_t i = 0; i < lanes_.size(); ++i) {
    const Row row = {run_, event, *step, lanes_[i], step->recalls[i]};
    const char* separator = "";
    for (const size_t column : columns_) {
      out_ << separator << kColumns[column].cell(row);
      separator = ",";
    }
    out_ << "\r\n";
  }
  return CheckWritten(out_);
}

absl::Status CsvWriter::Finish() {
  out_.flush();
  return CheckWritten(out_);
}

}  // namespace kvrecall
