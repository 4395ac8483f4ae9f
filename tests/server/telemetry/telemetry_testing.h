#pragma once

// SampleTelemetry fed with an invented text instead of a model's.

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "ATen/core/Tensor.h"

#include "common/record/record.h"
#include "common/record/run_config.h"
#include "server/engine/model.h"
#include "server/telemetry/telemetry.h"
#include "tests/reference/text_history.h"

namespace kvrecall {

// A run of the policies (as in --policies, parameters filled in) at the
// budgets, in the scopes.
RunConfig PoliciesConfig(const std::string& policies,
                         const std::string& budgets, std::vector<Scope> scopes);

// Holds the keys of a text up to a length that is set.
class FakeSequence : public Sequence {
 public:
  explicit FakeSequence(const TextHistory& text);

  void set_length(int64_t length) { length_ = length; }

  int64_t length() const override { return length_; }
  int64_t capacity() const override { return keys_.size(2); }
  // Keys that are not held yet fail the test.
  at::Tensor Keys(int64_t first, int64_t count) const override;
  at::Tensor KeyProducts(const at::Tensor& directions,
                         int64_t positions) const override;

 private:
  at::Tensor keys_;  // [layers, groups, positions, dimensions], float32
  int64_t length_ = 0;
};

// What an engine would yield for the prompt of `text` but its last token.
PrefillObservation PrefillOf(const TextHistory& text,
                             std::span<const int64_t> windows);

// [layers, groups, N_t], float32: the attention of the step.
at::Tensor RowsOf(const TextHistory& text, int64_t step);

// Telemetry over `text`, step by step. `config` and `text` must outlive it.
class TelemetryRun {
 public:
  TelemetryRun(const RunConfig& config, const TextHistory& text,
               uint64_t sample_key);

  StepRecord Next();

  int64_t step() const { return step_; }  // 0 before the first
  // [R, N_t], bool, contiguous: what the lane held at the last step.
  at::Tensor Held(size_t lane) const;

 private:
  const TextHistory& text_;
  FakeSequence sequence_;
  std::unique_ptr<SampleTelemetry> telemetry_;
  int64_t step_ = 0;
};

// That every lane held what its twin does, at every step. Stops at the first
// difference.
void CompareWithTwins(const RunConfig& config, const TextHistory& text,
                      uint64_t sample_key);

// "{0, 3, 4}".
std::string Show(const std::set<int64_t>& positions);
std::string Show(const bool* held, int64_t positions);

}  // namespace kvrecall
