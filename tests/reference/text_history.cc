#include "tests/reference/text_history.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <random>

namespace kvrecall {
namespace {

using Matrix = std::vector<std::vector<double>>;

// The mean of some groups' rows, query by query.
Matrix Mean(const std::vector<const Matrix*>& members) {
  Matrix mean = *members[0];
  for (size_t q = 0; q < mean.size(); ++q)
    for (size_t j = 0; j < mean[q].size(); ++j) {
      for (size_t m = 1; m < members.size(); ++m)
        mean[q][j] += (*members[m])[q][j];
      mean[q][j] /= static_cast<double>(members.size());
    }
  return mean;
}

class Generator {
 public:
  explicit Generator(const RandomTextOptions& options)
      : options_(options), random_(options.seed) {
    int64_t odd = options.layers * options.groups;
    while (odd % 2 == 0) odd /= 2;
    const int64_t added = options.positions * options.layers * options.groups;
    levels_ = std::clamp<int64_t>((1 << 24) / (odd * added), 2, options.levels);
    unit_ = static_cast<double>(odd) / (1 << 20);
    for (int64_t j = 0; j < options.positions; ++j)
      attractive_.push_back(Below(4) == 0);
  }

  Matrix Attention() {
    Matrix attention;
    for (int64_t q = 0; q < options_.positions; ++q) {
      attention.emplace_back();
      double sum = 0;
      for (int64_t j = 0; j <= q; ++j) {
        attention.back().push_back(Weight(j));
        sum += attention.back().back();
      }
      if (sum == 0) attention.back().back() = unit_;
    }
    return attention;
  }

  Matrix Keys() {
    Matrix keys;
    for (int64_t j = 0; j < options_.positions; ++j)
      keys.push_back(options_.keys == RandomKeys::kAnywhere ? KeyAnywhere()
                                                            : KeyOnAnAxis());
    return keys;
  }

  double Entropy() { return static_cast<double>(Below(400)) / 100; }

 private:
  static constexpr int kDimensions = 3;

  int64_t Below(int64_t end) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(end));
  }

  double Weight(int64_t position) {
    const int64_t level = Below(levels_);
    return unit_ * static_cast<double>(
                       attractive_[position] ? level : level * Below(2) / 2);
  }

  std::vector<double> KeyOnAnAxis() {
    std::vector<double> key(kDimensions, 0.0);
    const double length = static_cast<double>(1 << Below(4));
    key[Below(kDimensions)] = Below(3) == 0 ? -length : length;
    return key;
  }

  std::vector<double> KeyAnywhere() {
    std::vector<double> key;
    for (int d = 0; d < kDimensions; ++d)
      key.push_back(static_cast<double>(Below(1 << 20) + 1) / (1 << 19) - 0.75);
    return key;
  }

  const RandomTextOptions options_;
  std::mt19937_64 random_;
  int64_t levels_;
  double unit_;
  std::vector<bool> attractive_;
};

}  // namespace

std::vector<RowHistory> ScopeRowsSlowly(const TextHistory& text, Scope scope) {
  std::vector<RowHistory> rows;
  std::vector<const Matrix*> members;
  const auto finish = [&](Scope end) {
    if (end != scope) return;
    rows.back().attention = Mean(members);
    rows.back().accumulated = AccumulateSlowly(rows.back().attention);
    rows.back().prompt = text.prompt;
    rows.back().entropies = text.entropies;
    members.clear();
  };
  for (int64_t l = 0; l < text.layers; ++l) {
    for (int64_t g = 0; g < text.groups; ++g) {
      if (members.empty()) rows.emplace_back();
      members.push_back(&text.attention[l][g]);
      if (!text.keys.empty()) rows.back().keys.push_back(text.keys[l][g]);
      finish(Scope::kHead);
    }
    finish(Scope::kLayer);
  }
  finish(Scope::kGlobal);
  return rows;
}

std::vector<RowPlace> PlacesSlowly(const TextHistory& text, Scope scope,
                                   uint64_t sample_key) {
  int64_t count = 1, of_a_layer = 1;
  if (scope != Scope::kGlobal) count = text.layers;
  if (scope == Scope::kHead) of_a_layer = text.groups;
  std::vector<RowPlace> places;
  for (int64_t row = 0; row < count * of_a_layer; ++row)
    places.push_back({row, row / of_a_layer, text.layers, sample_key});
  return places;
}

TextHistory RandomText(const RandomTextOptions& options) {
  Generator generator(options);
  TextHistory text;
  text.layers = options.layers;
  text.groups = options.groups;
  text.prompt = options.prompt;
  const Matrix shared = generator.Keys();
  for (int64_t l = 0; l < options.layers; ++l) {
    text.attention.emplace_back();
    text.keys.emplace_back();
    for (int64_t g = 0; g < options.groups; ++g) {
      text.attention[l].push_back(generator.Attention());
      text.keys[l].push_back(
          options.keys == RandomKeys::kSharedAxes ? shared : generator.Keys());
    }
  }
  for (int64_t t = 1; t <= text.steps(); ++t)
    text.entropies.push_back(generator.Entropy());
  return text;
}

}  // namespace kvrecall
