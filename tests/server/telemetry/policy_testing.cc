#include "tests/server/telemetry/policy_testing.h"

#include "ATen/ATen.h"

#include "server/telemetry/selector.h"

namespace kvrecall {
namespace {

// One row and one budget.
SetJob JobOf(Policy& policy, const StepView& view, const Positions& held) {
  SetJob job;
  job.scores = policy.Score(view);
  job.budgets = 1;
  job.ks = policy.Sizes(view);
  job.weights = at::zeros({1, view.positions});
  job.held = at::zeros({1, view.positions}, at::kShort);
  for (const int64_t j : held) job.held[0][j] = 1;
  return job;
}

Positions Formed(const SetJob& job) {
  FormSets({&job, 1});
  Positions held;
  for (int64_t j = 0; j < job.held.size(1); ++j)
    if (job.held[0][j].item<int64_t>() != 0) held.push_back(j);
  return held;
}

}  // namespace

StepView View(const std::vector<double>& accumulated) {
  StepView view;
  view.positions = static_cast<int64_t>(accumulated.size()) + 1;
  view.prompt_tokens = view.positions;
  view.accumulated = at::tensor(accumulated, at::kDouble).view({1, -1});
  view.previous_row = at::zeros({1, view.positions - 1});
  return view;
}

StepView ViewAfter(const std::vector<float>& previous_row) {
  StepView view = View(std::vector<double>(previous_row.size()));
  view.previous_row = at::tensor(previous_row, at::kFloat).view({1, -1});
  return view;
}

Positions Held(Policy& policy, const StepView& view, int64_t k) {
  StepView asked = view;
  asked.ks = {&k, 1};
  return Formed(JobOf(policy, asked, {}));
}

Positions HeldSteps::Step(StepView view, int64_t k) {
  view.step = ++step_;
  view.ks = {&k, 1};
  SetJob job = JobOf(policy_, view, held_);
  if (!policy_.TakesAnew(view)) job.had = {static_cast<int64_t>(held_.size())};
  held_ = Formed(job);
  return held_;
}

}  // namespace kvrecall
