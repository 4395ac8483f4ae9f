// Every policy against its slow twin on every small attention history. Rows
// are independent, so each layer (or group) of one text carries a history of
// its own: thousands of them in one SampleTelemetry.

#include <algorithm>
#include <cctype>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include <gtest/gtest.h>

#include "tests/reference/policy_reference.h"
#include "tests/reference/text_history.h"
#include "tests/server/telemetry/telemetry_testing.h"

namespace kvrecall {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int64_t kStride = 32;  // one history of so many
#else
constexpr int64_t kStride = 1;
#endif
constexpr int64_t kChunk = 4096;  // histories in one text
constexpr uint64_t kSampleKey = 0x0123456789abcdef;

// A fixed pseudo-random number of `id` and `salt`.
uint64_t Scramble(int64_t id, int64_t salt) {
  uint64_t x = static_cast<uint64_t>(id) * 0x9e3779b97f4a7c15 +
               static_cast<uint64_t>(salt) * 0xd1342543de82ef95;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return x ^ (x >> 32);
}

int64_t Power(int64_t base, int64_t exponent) {
  return exponent == 0 ? 1 : base * Power(base, exponent - 1);
}

// All histories of so many positions with weights 0 … values − 1. A policy may
// not look at the row of the step itself, so of the last query's row one is as
// good as another: the others are enumerated.
struct Histories {
  int64_t values;
  int64_t positions;

  int64_t count() const {
    return Power(values, positions * (positions - 1) / 2);
  }
  // How many neighbours agree in the rows of the first `queries` queries.
  int64_t neighbours(int64_t queries) const {
    const int64_t known = queries * (queries + 1) / 2;
    return Power(values,
                 std::max<int64_t>(positions * (positions - 1) / 2 - known, 0));
  }
  // The rows of the first queries are the highest digits of `id`.
  std::vector<std::vector<double>> Attention(int64_t id) const {
    std::vector<std::vector<double>> attention;
    int64_t digit = count();
    for (int64_t q = 0; q < positions; ++q) {
      attention.emplace_back();
      for (int64_t j = 0; j <= q; ++j) {
        const bool last = q == positions - 1;
        if (!last) digit /= values;
        attention[q].push_back(static_cast<double>(
            last ? Scramble(id, j) % static_cast<uint64_t>(values)
                 : static_cast<uint64_t>(id / digit % values)));
      }
    }
    return attention;
  }
};

std::string Show(const RowHistory& history) {
  std::string text = absl::StrCat("P = ", history.prompt);
  for (const std::vector<double>& row : history.attention)
    absl::StrAppend(&text, " [", absl::StrJoin(row, " "), "]");
  return text;
}

std::string TokenBudgets(int64_t most) {
  std::vector<std::string> budgets;
  for (int64_t k = 1; k <= most; ++k)
    budgets.push_back(absl::StrCat("tokens:", k));
  return absl::StrJoin(budgets, ",");
}

// One policy over one text whose groups all carry the histories `ids`.
class Comparison {
 public:
  Comparison(const std::string& policy, const Histories& histories,
             std::vector<int64_t> ids, int64_t layers, Scope scope)
      : scope_(scope),
        config_(
            PoliciesConfig(policy, TokenBudgets(histories.positions), {scope})),
        histories_(histories),
        ids_(std::move(ids)) {
    // Many groups for scope head, many layers for scope layer.
    const int64_t count = static_cast<int64_t>(ids_.size());
    text_.layers = scope == Scope::kLayer ? count : layers;
    text_.groups = scope == Scope::kLayer ? 1 : count;
    text_.attention.resize(static_cast<size_t>(text_.layers));
    for (int64_t row = 0; row < text_.layers * text_.groups; ++row)
      text_.attention[row / text_.groups].push_back(
          histories_.Attention(ids_[row % count]));
    for (int64_t t = 1; t <= histories.positions; ++t)
      text_.entropies.push_back(Scramble(t, count) % 2 == 0 ? 0.5 : 1.5);
  }

  // False after the first difference, which is told.
  bool Equal(int64_t prompt) {
    text_.prompt = prompt;
    if (rows_.empty()) {
      rows_ = ScopeRowsSlowly(text_, scope_);
      places_ = PlacesSlowly(text_, scope_, kSampleKey);
    }
    for (RowHistory& row : rows_) row.prompt = prompt;
    TelemetryRun run(config_, text_, kSampleKey);
    while (run.step() < text_.steps()) {
      const StepRecord record = run.Next();
      for (size_t b = 0; b < config_.budgets.size(); ++b)
        if (!StepEqual(run, record, b)) return false;
    }
    return true;
  }

 private:
  const PolicySpec& spec() const { return config_.policies[0]; }

  bool StepEqual(const TelemetryRun& run, const StepRecord& record, size_t b) {
    const at::Tensor held = run.Held(b);
    const int64_t n = text_.prompt - 1 + run.step();
    if (held.size(0) != static_cast<int64_t>(rows_.size()) ||
        held.size(1) != n) {
      ADD_FAILURE() << "Held() is " << held.sizes();
      return false;
    }
    const int64_t alike =
        histories_.neighbours(spec().name == "oracle" ? n : n - 1);
    const bool* flags = held.data_ptr<bool>();
    Holding twin;
    double fetched = 0;
    for (size_t r = 0; r < rows_.size(); ++r, flags += n) {
      // What neighbours know in common they know to the same end.
      const bool same_layer =
          r > 0 &&
          (scope_ == Scope::kLayer || places_[r].layer == places_[r - 1].layer);
      const bool known = same_layer && Id(r) / alike == Id(r - 1) / alike;
      if (!known)
        twin = HeldSlowly(spec(), config_.budgets[b], rows_[r], places_[r],
                          run.step());
      fetched += static_cast<double>(twin.fetched_back);
      if (known ? std::memcmp(flags, flags - n, static_cast<size_t>(n)) == 0
                : AreExactly(flags, n, twin.positions))
        continue;
      ADD_FAILURE() << spec().ToString() << ", "
                    << config_.budgets[b].ToString() << ", step " << run.step()
                    << ", row " << r << " of layer " << places_[r].layer
                    << ": held " << kvrecall::Show(flags, n) << " instead of "
                    << kvrecall::Show(twin.positions) << " of history "
                    << Show(rows_[r]);
      return false;
    }
    fetched /= static_cast<double>(rows_.size());
    EXPECT_NEAR(record.recalls[b].fetched_back.value_or(0), fetched, 1e-9);
    return true;
  }

  int64_t Id(size_t row) const { return ids_[row % ids_.size()]; }

  const Scope scope_;
  const RunConfig config_;
  const Histories histories_;
  const std::vector<int64_t> ids_;
  TextHistory text_;
  std::vector<RowHistory> rows_;
  std::vector<RowPlace> places_;
};

// In chunks, every prompt length.
void CompareOnAll(const std::string& policy, const Histories& histories,
                  int64_t layers, Scope scope) {
  std::vector<int64_t> ids;
  for (int64_t id = 0; id < histories.count(); id += kStride) {
    const int64_t among = std::min(kStride, histories.count() - id);
    ids.push_back(id + static_cast<int64_t>(Scramble(id, 0) %
                                            static_cast<uint64_t>(among)));
    if (static_cast<int64_t>(ids.size()) < kChunk &&
        id + kStride < histories.count())
      continue;
    Comparison comparison(policy, histories, ids, layers, scope);
    for (int64_t p = 1; p <= histories.positions; ++p)
      ASSERT_TRUE(comparison.Equal(p));
    ids.clear();
  }
}

class PolicyTwinTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PolicyTwinTest, EqualsOnEveryHistoryOfThreeWeightsUpToFourPositions) {
  CompareOnAll(GetParam(), {3, 4}, 1, Scope::kLayer);
}

TEST_P(PolicyTwinTest, EqualsOnEveryHistoryOfTwoWeightsUpToSixPositions) {
  CompareOnAll(GetParam(), {2, 6}, 1, Scope::kLayer);
}

// "snapkv(kernel=3,w=1)" → "snapkv_kernel_3_w_1_".
std::string TestName(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(
    Each, PolicyTwinTest,
    ::testing::Values("h2o(self=1)", "h2o(self=0)", "h2o_window(w=1)",
                      "h2o_window(w=2)", "h2o_mean", "h2o_evict",
                      "streaming(sinks=0)", "streaming(sinks=1)",
                      "snapkv(w=1,kernel=1)", "snapkv(w=1,kernel=3)",
                      "snapkv(w=2,kernel=1)", "snapkv(w=2,kernel=3)", "tova",
                      "h2o_evict@entropy(1)", "h2o_evict@periodic(2)",
                      "h2o_evict@random(0.5)", "tova@entropy(1)",
                      "tova@periodic(2)", "tova@random(0.5)", "oracle"),
    TestName);

// Budgets fall with the layer, so here every layer carries every history.
class PyramidTwinTest : public ::testing::TestWithParam<const char*> {};

TEST_P(PyramidTwinTest, EqualsOnEveryHistoryOfThreeWeightsUpToFourPositions) {
  for (const int64_t layers : {1, 2, 3, 5})
    CompareOnAll(GetParam(), {3, 4}, layers, Scope::kHead);
}

TEST_P(PyramidTwinTest, EqualsOnEveryHistoryOfTwoWeightsUpToSixPositions) {
  CompareOnAll(GetParam(), {2, 6}, 3, Scope::kHead);
}

INSTANTIATE_TEST_SUITE_P(Each, PyramidTwinTest,
                         ::testing::Values("pyramidkv(w=1,kernel=1)",
                                           "pyramidkv(w=1,kernel=3)",
                                           "pyramidkv(w=2,kernel=1)",
                                           "pyramidkv(w=2,kernel=3)"),
                         TestName);

// A text of `layers` layers whose attention nobody may look at.
TextHistory TextWithoutAttention(int64_t layers, int64_t positions,
                                 int64_t prompt) {
  TextHistory text;
  text.layers = layers;
  text.prompt = prompt;
  std::vector<std::vector<double>> attention;
  for (int64_t q = 0; q < positions; ++q)
    attention.emplace_back(static_cast<size_t>(q + 1), 0.0);
  text.attention.assign(static_cast<size_t>(layers), {attention});
  text.entropies.assign(static_cast<size_t>(positions), 0.0);
  return text;
}

TEST(RandomTwinTest, EqualsForEveryPromptAndBudgetUpToNinePositions) {
  for (int64_t p = 1; p <= 9; ++p)
    CompareWithTwins(PoliciesConfig("random,random(seed=7)", TokenBudgets(9),
                                    {Scope::kLayer}),
                     TextWithoutAttention(50, 9, p), kSampleKey);
}

// The key of each position is one of three, which pull together, apart or
// nowhere; the step's own key is one of them too.
TEST(KeyTwinTest, EqualsOnEveryHistoryOfThreeKeysUpToSixPositions) {
  const std::vector<std::vector<double>> choices = {{1, 0}, {0, 2}, {-4, 0}};
  const int64_t positions = 6, count = Power(3, positions);
  for (int64_t p = 1; p <= positions; ++p) {
    TextHistory text = TextWithoutAttention(count, positions, p);
    text.keys.resize(static_cast<size_t>(count));
    for (int64_t id = 0; id < count; ++id) {
      std::vector<std::vector<double>> keys;
      for (int64_t j = 0, rest = id; j < positions; ++j, rest /= 3)
        keys.push_back(choices[static_cast<size_t>(rest % 3)]);
      text.keys[static_cast<size_t>(id)].push_back(keys);
    }
    CompareWithTwins(PoliciesConfig("knorm,keydiff", TokenBudgets(positions),
                                    {Scope::kLayer}),
                     text, kSampleKey);
  }
}

// `oracle` alone looks at the step's own row.
TEST(OracleTwinTest, EqualsOnEveryRowOfTheStepItself) {
  for (const auto& [values, positions] : {std::pair(3, 4), std::pair(2, 6)}) {
    const int64_t count = Power(values, positions);
    TextHistory text = TextWithoutAttention(count, positions, positions);
    for (int64_t id = 0; id < count; ++id)
      for (int64_t j = 0, rest = id; j < positions; ++j, rest /= values)
        text.attention[id][0].back()[j] = static_cast<double>(rest % values);
    CompareWithTwins(
        PoliciesConfig("oracle", TokenBudgets(positions), {Scope::kLayer}),
        text, kSampleKey);
  }
}

}  // namespace
}  // namespace kvrecall
