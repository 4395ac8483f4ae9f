#pragma once

// Samples "s0", "s1", … with a question and a place each.

#include <vector>

#include "absl/strings/str_cat.h"

#include "common/longbench/jsonl.h"

namespace kvrecall {

inline std::vector<Sample> QuestionSamples(int count) {
  std::vector<Sample> samples(count);
  for (int i = 0; i < count; ++i) {
    samples[i].id = absl::StrCat("s", i);
    samples[i].input = absl::StrCat("Question ", i, "?");
    samples[i].ordinal = i + 1;
  }
  return samples;
}

}  // namespace kvrecall
