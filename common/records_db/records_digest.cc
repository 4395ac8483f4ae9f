#include "common/records_db/records_digest.h"

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "common/records_db/event_detail.h"

namespace kvrecall {
namespace {

// Puts values one behind the other; each has a length that is known, or says
// its own, so that no two lists of them give the same bytes.
class Fields {
 public:
  explicit Fields(Sha256& digest) : digest_(digest) {}

  void Add(uint64_t value) {
    std::array<char, 8> bytes;
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
    digest_.Add({bytes.data(), bytes.size()});
  }
  void Add(int64_t value) { Add(static_cast<uint64_t>(value)); }
  void Add(bool value) { Add(uint64_t{value}); }
  // The database keeps -0 as 0.
  void Add(double value) { Add(std::bit_cast<uint64_t>(value + 0.0)); }
  void Add(float value) {
    Add(static_cast<uint64_t>(std::bit_cast<uint32_t>(value)));
  }
  void Add(std::string_view text) { digest_.AddField(text); }
  template <typename T>
  void Add(const std::optional<T>& value) {
    Add(value.has_value());
    if (value) Add(*value);
  }
  template <typename T>
  void Add(const std::vector<T>& values) {
    Add(static_cast<uint64_t>(values.size()));
    for (const T& value : values) Add(value);
  }

  void Add(const LostPosition& lost) {
    Add(lost.position);
    Add(lost.weight);
    Add(std::string_view(lost.token));
  }
  void Add(const RecallRecord& r) {
    Add(r.k);
    for (const double value : {r.recall, r.chance, r.mass, r.mass_ratio})
      Add(value);
    for (const auto& value :
         {r.lift, r.recall_without_free_hits, r.drift, r.fetched_back})
      Add(value);
    Add(r.layer_recalls);
    Add(r.lost);
  }
  void Add(const GapRecord& g) {
    for (const double value : {g.kl, g.entropy_change, g.logprob_change})
      Add(value);
    Add(g.token_id);
    Add(g.top1_agrees);
  }
  void Add(const StepRecord& s) {
    for (const int64_t value : {s.step, s.n, s.token_id}) Add(value);
    Add(std::string_view(s.token));
    for (const double value : {s.entropy, s.logprob, s.p_max, s.margin,
                               s.attention_entropy, s.attention_entropy_std})
      Add(value);
    Add(s.recalls);
    Add(s.gaps);
  }
  void Add(const SampleStart& s) {
    for (const int64_t value : {s.prompt_tokens, s.raw_prompt_tokens, s.length})
      Add(value);
    Add(s.truncated);
  }
  void Add(const SampleResult& r) {
    Add(r.generated_tokens);
    Add(std::string_view(r.text));
    Add(r.score);
    Add(r.gap_scores);
    Add(std::string_view(FinishReasonName(r.finish_reason)));
  }
  void Add(const SampleFailure& f) {
    Add(std::string_view(f.reason));
    Add(std::string_view(f.message));
  }
  void Add(const RunEnd&) {}  // is of no sample

 private:
  Sha256& digest_;
};

}  // namespace

void RecordsDigest::Add(const Event& event) {
  Fields fields(digest_);
  fields.Add(std::string_view(EventKind(event.body)));
  std::visit([&](const auto& body) { fields.Add(body); }, event.body);
}

}  // namespace kvrecall
