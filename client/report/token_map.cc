#include "client/report/token_map.h"

#include <cmath>
#include <variant>

#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

// To so many significant digits: a page is for eyes.
double Rounded(double value, int digits) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale =
      std::pow(10, digits - 1 - std::floor(std::log10(std::abs(value))));
  return std::round(value * scale) / scale;
}

// The first part of a long text, never half a character.
std::string Beginning(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  return text.substr(0, end) + " …";
}

// The same positions are lost again and again: their texts are kept apart.
Json LostJson(const std::vector<LostPosition>& lost,
              std::map<int64_t, std::string>& texts) {
  Json json = Json::array();
  for (const LostPosition& position : lost) {
    json.push_back(position.position);
    json.push_back(Rounded(position.weight, 3));
    texts[position.position] = position.token;
  }
  return json;
}

// What a reader takes for the question.
std::string QuestionOf(const Sample& sample) {
  if (!sample.messages.empty()) return sample.messages.back().content;
  return sample.input.empty() ? sample.context : sample.input;
}

}  // namespace

TokenMap::TokenMap(const RunConfig& config, int scope) {
  for (const Budget& budget : config.budgets)
    budgets_.push_back(budget.ToString());
  const std::vector<Lane> lanes = Lanes(config);
  for (size_t i = 0; i < lanes.size(); ++i) {
    if (lanes[i].scope != scope) continue;
    lanes_.push_back(static_cast<int>(i));
    if (lanes[i].budget == 0)
      policies_.push_back(
          config.policies[static_cast<size_t>(lanes[i].policy)].ToString());
  }
}

void TokenMap::AddSample(const Sample& sample) {
  constexpr size_t kMostText = 600;
  Shown& shown = samples_.emplace_back();
  shown.sample.id = sample.id;
  shown.sample.input = Beginning(QuestionOf(sample), kMostText);
  for (const std::string& answer : sample.answers)
    shown.sample.answers.push_back(Beginning(answer, kMostText));
  by_id_[sample.id] = samples_.size() - 1;
}

void TokenMap::Add(const Event& event, int64_t attempt) {
  const auto found = by_id_.find(event.sample_id);
  if (found == by_id_.end() || event.attempt != attempt) return;
  Shown& shown = samples_[found->second];
  if (const auto* start = std::get_if<SampleStart>(&event.body)) {
    shown.start = *start;
  } else if (const auto* step = std::get_if<StepRecord>(&event.body)) {
    shown.steps.push_back(StepJson(*step, shown.texts));
  } else if (const auto* result = std::get_if<SampleResult>(&event.body)) {
    shown.state = "done";
    if (result->score) shown.score = Rounded(*result->score, 4);
  } else if (const auto* failure = std::get_if<SampleFailure>(&event.body)) {
    shown.state = "failed";
    shown.reason = failure->message;
  }
}

Json TokenMap::StepJson(const StepRecord& step,
                        std::map<int64_t, std::string>& texts) const {
  Json recalls = Json::array(), lost = Json::array();
  for (const int lane : lanes_) {
    const RecallRecord& recall = step.recalls[static_cast<size_t>(lane)];
    recalls.push_back(Rounded(recall.recall, 3));
    lost.push_back(LostJson(recall.lost, texts));
  }
  return {step.token,
          step.n,
          Rounded(step.entropy, 4),
          Rounded(std::exp(step.logprob), 3),
          Rounded(step.p_max, 3),
          Rounded(step.margin, 3),
          std::move(recalls),
          std::move(lost)};
}

Json TokenMap::ToJson() const {
  Json json;
  json["policies"] = policies_;
  json["budgets"] = budgets_;
  json["samples"] = Json::array();
  for (const Shown& shown : samples_) {
    Json sample;
    sample["id"] = shown.sample.id;
    sample["question"] = shown.sample.input;
    sample["answers"] = shown.sample.answers;
    sample["state"] = shown.state;
    sample["reason"] = shown.reason;
    sample["score"] = shown.score;
    sample["prompt_tokens"] = shown.start.prompt_tokens;
    sample["truncated"] = shown.start.truncated;
    sample["texts"] = Json::object();
    for (const auto& [position, text] : shown.texts)
      sample["texts"].push_back({absl::StrCat(position), text});
    sample["steps"] = shown.steps;
    json["samples"].push_back(std::move(sample));
  }
  return json;
}

}  // namespace kvrecall
