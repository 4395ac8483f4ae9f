#pragma once

// A model run beside what Hugging Face transformers and plain NumPy made of the
// same text: tests/golden/parity_golden.py has the expected values, in float32.
// Linked into tests only.

#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

struct ParityRun {
  std::string model;   // directory
  std::string golden;  // file
  std::string device;
  std::string dtype;
  int64_t chunk = 256;
};

// How far it was off, over all steps.
struct ParityTally {
  int steps = 0;
  int other_tokens = 0;     // the greedy token is not the golden one
  int other_counts = 0;     // N, or the K of a recall
  int differing_steps = 0;  // recall, chance or mass ratio of a lane differs
  int unexplained = 0;      // … of lanes whose cut is not near-tied
  int recalls = 0;
  double recall_error = 0;  // Σ |Δrecall|
  // The largest differences; logits against the largest there is, sums each
  // against its own.
  double logit = 0, sum = 0;
  double entropy = 0, logprob = 0, attention_entropy = 0;  // nats
  double p_max = 0, margin = 0, mass = 0;
};

// Feeds the golden text, whatever the model would have said. Prints the tally.
absl::StatusOr<ParityTally> CompareWithGolden(const ParityRun& run);

// Lanes whose cut lies between two scores that differ by less than 10⁻⁵ of
// themselves, which the golden file marks. Golden values come from a CPU; where
// sums are made in another order, either of the two may be held.
enum class NearTies { kAsGolden, kMayDiffer };

// The bounds for float32, as gtest expectations.
void ExpectFloat32Parity(const ParityTally& tally,
                         NearTies near_ties = NearTies::kAsGolden);

}  // namespace kvrecall
