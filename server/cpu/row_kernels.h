#pragma once

// What telemetry does with rows of attention and with logits, on raw arrays,
// once per instruction set: the passes over all positions or the whole
// vocabulary. No libtorch, no threads; pure over their arguments.

#include <cstdint>
#include <vector>

namespace kvrecall::cpu {

// Over logits z with maximum m: what a softmax's figures are made of.
struct LogitSums {
  int64_t best = 0;     // the lowest index with z = m
  float largest = 0;    // m
  float second = 0;     // the second largest; m if it occurs twice
  double sum = 0;       // Σ exp(z − m)
  double weighted = 0;  // Σ exp(z − m) · (z − m)
  bool finite = true;   // if not, nothing else holds
};

// Logits of the oracle's step beside those of lanes, over part of a vocabulary.
struct DivergenceTerms {
  const float* logits = nullptr;  // z [n]
  float largest = 0;              // of all the vocabulary's
  const float* lanes = nullptr;   // z' [lanes, …]
  int64_t lane_stride = 0;
  const float* lane_largest = nullptr;  // [lanes]
  int64_t lanes_count = 0, n = 0;
  // Results: Σ exp(z − m); of each lane Σ exp(z' − m') and
  // Σ exp(z − m) · (z − z').
  double sum = 0;
  double* lane_sums = nullptr;    // [lanes]
  double* differences = nullptr;  // [lanes]
};

struct RowKernels {
  // Keys in the order of the scores, rounded to float32: a lower score never
  // has a higher key. Returns the lowest and the highest key.
  void (*keys_of_floats)(const float* scores, int64_t n, uint32_t* keys,
                         uint32_t* lowest, uint32_t* highest);
  void (*keys_of_doubles)(const double* scores, int64_t n, uint32_t* keys,
                          uint32_t* lowest, uint32_t* highest);

  // counts[b] = how many keys are at least thresholds[b].
  void (*count_at_least)(const uint32_t* keys, int64_t n,
                         const uint32_t* thresholds, int budgets,
                         int64_t* counts);

  // The positions with low ≤ key ≤ high, ascending, into `positions`, which has
  // room for them and kLanes (of kernels.h) more; returns how many.
  int64_t (*collect_between)(const uint32_t* keys, int64_t n, uint32_t low,
                             uint32_t high, int32_t* positions);

  // masks[j] gets bits[b] where keys[j] ≥ thresholds[b].
  void (*mark_at_least)(const uint32_t* keys, int64_t n,
                        const uint32_t* thresholds, const uint16_t* bits,
                        int budgets, uint16_t* masks);

  // Of bit b < budgets: common[b] = how many positions have it in both, mass[b]
  // = Σ of weights[j] where masks[j] has it. Without `other`, common[b] counts
  // those of `masks`.
  void (*weigh_sets)(const uint16_t* masks, const uint16_t* other,
                     const float* weights, int64_t n, int budgets,
                     int64_t* common, double* mass);

  // Of the positions whose mask has `bit`, the last with the lowest score; −1
  // if there is none.
  int64_t (*lowest_of_floats)(const float* scores, const uint16_t* masks,
                              int64_t n, uint16_t bit);
  int64_t (*lowest_of_doubles)(const double* scores, const uint16_t* masks,
                               int64_t n, uint16_t bit);

  // out[j] = the mean over `count` rows, `stride` apart.
  void (*mean_of_rows)(const float* rows, int64_t stride, int64_t count,
                       int64_t n, float* out);

  // −Σ p ln p, 0 · ln 0 = 0.
  double (*entropy)(const float* p, int64_t n);

  // into[j] += row[j].
  void (*add_to_doubles)(const float* row, int64_t n, double* into);

  LogitSums (*sum_logits)(const float* logits, int64_t n);

  // In float64: what tells two almost equal distributions from each other is
  // what float32 rounds away.
  void (*sum_divergences)(DivergenceTerms& terms);
};

// As BestKernels and SupportedKernels.
const RowKernels& BestRowKernels();
std::vector<const RowKernels*> SupportedRowKernels();

}  // namespace kvrecall::cpu
