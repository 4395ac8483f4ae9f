#pragma once

// Whether all numbers of a record are finite: only such are kept.

#include <cmath>

#include "common/record/record.h"

namespace kvrecall {

template <typename... Numbers>
bool AllFinite(Numbers... numbers) {
  return (std::isfinite(numbers) && ...);
}

inline bool IsFinite(const RecallRecord& r) {
  for (const LostPosition& lost : r.lost) {
    if (!std::isfinite(lost.weight)) return false;
  }
  return AllFinite(r.recall, r.chance, r.lift.value_or(0), r.mass, r.mass_ratio,
                   r.recall_without_free_hits.value_or(0), r.drift.value_or(0),
                   r.fetched_back.value_or(0));
}

inline bool IsFinite(const GapRecord& g) {
  return AllFinite(g.kl, g.entropy_change, g.logprob_change);
}

// What a step takes from the logits, but for their entropy.
inline bool LogitsAreFinite(const StepRecord& s) {
  return AllFinite(s.logprob, s.p_max, s.margin);
}

inline bool EntropiesAreFinite(const StepRecord& s) {
  return AllFinite(s.entropy, s.attention_entropy, s.attention_entropy_std);
}

inline bool RecallsAreFinite(const StepRecord& s) {
  for (const RecallRecord& recall : s.recalls) {
    if (!IsFinite(recall)) return false;
  }
  return true;
}

inline bool GapsAreFinite(const StepRecord& s) {
  for (const GapRecord& gap : s.gaps) {
    if (!IsFinite(gap)) return false;
  }
  return true;
}

inline bool IsFinite(const StepRecord& s) {
  return LogitsAreFinite(s) && EntropiesAreFinite(s) && RecallsAreFinite(s) &&
         GapsAreFinite(s);
}

}  // namespace kvrecall
