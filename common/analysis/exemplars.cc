#include "common/analysis/exemplars.h"

#include <algorithm>
#include <cstddef>

#include "common/analysis/ranks.h"

namespace kvrecall {
namespace {

// Tokens of text on either side.
constexpr int64_t kAround = 12;

std::string TextOf(const RunTable& table, int64_t begin, int64_t end) {
  std::string text;
  for (int64_t i = begin; i < end; ++i)
    text += table.token[static_cast<size_t>(i)];
  return text;
}

}  // namespace

std::vector<Exemplar> FindExemplars(const RunTable& table,
                                    const std::vector<int>& lanes, int count) {
  if (lanes.empty()) return {};
  const std::vector<double>& recall =
      table.columns[static_cast<size_t>(lanes.front())].recall;
  std::vector<double> calm;
  for (size_t i = 0; i < recall.size(); ++i)
    calm.push_back(-table.entropy[i] * (1 - recall[i]));
  std::vector<Exemplar> exemplars;
  for (const size_t step : AscendingOrder(calm)) {
    if (std::ssize(exemplars) >= count) break;
    const auto i = static_cast<int64_t>(step);
    const size_t sample = table.SampleOf(i);
    Exemplar& exemplar = exemplars.emplace_back();
    exemplar.sample = table.samples[sample].id;
    exemplar.step = static_cast<int64_t>(table.step[step]);
    exemplar.entropy = table.entropy[step];
    for (const int lane : lanes)
      exemplar.recall.push_back(
          table.columns[static_cast<size_t>(lane)].recall[step]);
    exemplar.before =
        TextOf(table, std::max(table.first[sample], i - kAround), i);
    exemplar.token = table.token[step];
    exemplar.after = TextOf(table, i + 1,
                            std::min(table.first[sample + 1], i + 1 + kAround));
  }
  return exemplars;
}

}  // namespace kvrecall
