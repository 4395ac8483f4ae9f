#pragma once

// One lane of the entropy gap: the step's logits computed again while the
// step's query sees only part of the past. Value types; no shared state.

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/record/budget.h"
#include "common/record/policy_spec.h"
#include "common/record/scope.h"

namespace kvrecall {

struct RunConfig;

struct GapSpec {
  enum class Kind {
    kWithoutGold,  // all positions but the gold set; the step's own is kept
    kOnlyPred,     // only what the policy holds
  };
  Kind kind = Kind::kWithoutGold;
  PolicySpec policy;  // of kOnlyPred
  Budget budget;
  Scope scope = Scope::kGlobal;  // whose rows mask what

  // "without_gold(0.1)", "only_pred(h2o,0.1)", "only_pred(tova,0.1,layer)":
  // the scope is written where it is not global. ParseGapSpec reads it back
  // exactly.
  std::string ToString() const;

  friend bool operator==(const GapSpec&, const GapSpec&) = default;
};

// The most lanes that a run may have.
inline constexpr int kMaxGaps = 64;

// InvalidArgument quotes the text and says what is wrong with its form.
absl::StatusOr<GapSpec> ParseGapSpec(std::string_view text);

// A comma-separated list (commas inside parentheses belong to a lane): not
// empty, no lane twice.
absl::StatusOr<std::vector<GapSpec>> ParseGapSpecs(std::string_view text);

// The lanes that `--gap` means without a list: for each budget of the run,
// without_gold and only_pred of the first policy that is not the oracle (h2o if
// the run has it), in scope global if the run has it, else its first. A scope
// and a policy that do not go together are passed over for the next that do.
std::vector<GapSpec> DefaultGaps(const RunConfig& config);

// The run's lanes with their policies spelled as in config.policies: "h2o" and
// "h2o(self=1)" are one, and from here on they are equal. InvalidArgument: more
// than kMaxGaps, a lane twice, a policy that does not exist (the message names
// the nearest), or a policy, budget or scope that the run does not simulate
// (it names what to add).
absl::StatusOr<std::vector<GapSpec>> CompleteGaps(const RunConfig& config);

}  // namespace kvrecall
