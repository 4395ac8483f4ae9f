#include "common/analysis/run_table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

bool AreFinite(const StepRecord& step) {
  std::vector<double> numbers = {step.entropy, step.p_max, step.margin,
                                 step.attention_entropy};
  for (const RecallRecord& recall : step.recalls) {
    numbers.push_back(recall.recall);
    numbers.push_back(recall.chance);
    numbers.push_back(recall.drift.value_or(0));
    numbers.push_back(recall.fetched_back.value_or(0));
    for (const float of_layer : recall.layer_recalls)
      numbers.push_back(of_layer);
  }
  for (const GapRecord& gap : step.gaps) {
    numbers.push_back(gap.kl);
    numbers.push_back(gap.entropy_change);
    numbers.push_back(gap.logprob_change);
  }
  return std::all_of(numbers.begin(), numbers.end(),
                     [](double number) { return std::isfinite(number); });
}

// Adds a step to the means over samples of a lane; `counts` has how many each
// step of an answer has taken in.
void AddLayers(const std::vector<float>& recalls, size_t step,
               std::vector<std::vector<double>>& sums,
               std::vector<int64_t>& counts) {
  if (recalls.empty()) return;
  if (sums.size() <= step) {
    sums.resize(step + 1);
    counts.resize(step + 1);
  }
  sums[step].resize(std::max(sums[step].size(), recalls.size()));
  for (size_t l = 0; l < recalls.size(); ++l) sums[step][l] += recalls[l];
  ++counts[step];
}

void AddStep(const StepRecord& record, RunTable& table) {
  table.step.push_back(static_cast<double>(record.step));
  table.positions.push_back(static_cast<double>(record.n));
  table.entropy.push_back(record.entropy);
  table.p_max.push_back(record.p_max);
  table.margin.push_back(record.margin);
  table.attention_entropy.push_back(record.attention_entropy);
  table.token.push_back(record.token);
  for (size_t i = 0; i < record.recalls.size(); ++i) {
    const RecallRecord& recall = record.recalls[i];
    LaneColumns& lane = table.columns[i];
    lane.recall.push_back(recall.recall);
    lane.chance.push_back(recall.chance);
    lane.drift.push_back(recall.drift.value_or(kUndefined));
    lane.fetched_back.push_back(recall.fetched_back.value_or(kUndefined));
  }
  for (size_t i = 0; i < record.gaps.size(); ++i) {
    table.gaps[i].kl.push_back(record.gaps[i].kl);
    table.gaps[i].entropy_change.push_back(record.gaps[i].entropy_change);
    table.gaps[i].logprob_change.push_back(record.gaps[i].logprob_change);
  }
}

}  // namespace

size_t RunTable::SampleOf(int64_t step) const {
  return static_cast<size_t>(
             std::upper_bound(first.begin(), first.end(), step) -
             first.begin()) -
         1;
}

RunTableBuilder::RunTableBuilder(RunConfig config)
    : config_(std::move(config)), lanes_(Lanes(config_)) {}

absl::Status RunTableBuilder::Add(const Event& event) {
  if (std::holds_alternative<RunEnd>(event.body)) return absl::OkStatus();
  Attempt& sample = samples_[event.sample_id];
  if (event.attempt < sample.attempt) return absl::OkStatus();
  if (event.attempt > sample.attempt) {
    sample = {};
    sample.attempt = event.attempt;
  }
  if (const auto* step = std::get_if<StepRecord>(&event.body)) {
    if (step->recalls.size() != lanes_.size() ||
        step->gaps.size() != config_.gaps.size())
      return absl::DataLossError(absl::StrCat(
          "sample ", event.sample_id, ", step ", step->step, ": ",
          step->recalls.size(), " recalls and ", step->gaps.size(),
          " gaps; expected ", lanes_.size(), " and ", config_.gaps.size()));
    sample.steps.push_back(*step);
  } else if (const auto* result = std::get_if<SampleResult>(&event.body)) {
    sample.result = *result;
  }
  return absl::OkStatus();
}

absl::StatusOr<RunTable> RunTableBuilder::Build() const {
  RunTable table;
  table.config = config_;
  table.lanes = lanes_;
  table.columns.resize(lanes_.size());
  table.gaps.resize(config_.gaps.size());
  table.first.push_back(0);
  std::vector<std::vector<int64_t>> counts(lanes_.size());
  for (const auto& [id, sample] : samples_) {
    if (sample.steps.empty()) continue;
    for (size_t t = 0; t < sample.steps.size(); ++t) {
      const StepRecord& record = sample.steps[t];
      if (!AreFinite(record))
        return absl::InvalidArgumentError(
            absl::StrCat("sample ", id, ", step ", record.step,
                         ": a number is NaN or infinite; nothing can be said "
                         "of such a run"));
      AddStep(record, table);
      for (size_t i = 0; i < lanes_.size(); ++i)
        AddLayers(record.recalls[i].layer_recalls, t,
                  table.columns[i].layer_recall, counts[i]);
    }
    TableSample& row = table.samples.emplace_back();
    row.id = id;
    row.done = sample.result.has_value();
    if (sample.result) row.score = sample.result->score;
    table.first.push_back(table.steps());
  }
  for (size_t i = 0; i < lanes_.size(); ++i)
    for (size_t t = 0; t < counts[i].size(); ++t)
      for (double& mean : table.columns[i].layer_recall[t])
        mean /= static_cast<double>(counts[i][t]);
  return table;
}

}  // namespace kvrecall
