#include "common/analysis/trigger.h"

#include <cmath>

namespace kvrecall {
namespace {

double ValueOf(const RunTable& table, size_t lane, Signal signal, size_t step) {
  switch (signal) {
    case Signal::kEntropy:
      return table.entropy[step];
    case Signal::kOneLessPMax:
      return 1 - table.p_max[step];
    case Signal::kLessMargin:
      return -table.margin[step];
    case Signal::kAttentionEntropy:
      return table.attention_entropy[step];
    case Signal::kDrift:
      return table.columns[lane].drift[step];
  }
  return 0;
}

}  // namespace

const char* SignalName(Signal signal) {
  switch (signal) {
    case Signal::kEntropy:
      return "entropy";
    case Signal::kOneLessPMax:
      return "1 - p_max";
    case Signal::kLessMargin:
      return "-margin";
    case Signal::kAttentionEntropy:
      return "attention entropy";
    case Signal::kDrift:
      return "drift";
  }
  return "";
}

TriggerSteps StepsOf(const RunTable& table, size_t lane, Signal signal,
                     double tau) {
  TriggerSteps steps;
  steps.first.push_back(0);
  for (size_t s = 0; s < table.samples.size(); ++s) {
    for (int64_t i = table.first[s]; i < table.first[s + 1]; ++i) {
      const auto step = static_cast<size_t>(i);
      const double value = ValueOf(table, lane, signal, step);
      if (std::isnan(value)) continue;
      steps.signal.push_back(value);
      steps.event.push_back(table.columns[lane].recall[step] < tau ? 1 : 0);
    }
    steps.first.push_back(static_cast<int64_t>(steps.signal.size()));
  }
  return steps;
}

}  // namespace kvrecall
