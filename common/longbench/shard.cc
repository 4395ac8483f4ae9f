#include "common/longbench/shard.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/longbench/sample_json.h"

namespace kvrecall {
namespace {

// A number as it is usually written: digits alone.
bool ParseNumber(std::string_view text, int64_t* number) {
  return !text.empty() &&
         text.find_first_not_of("0123456789") == std::string_view::npos &&
         absl::SimpleAtoi(absl::string_view(text.data(), text.size()), number);
}

}  // namespace

absl::StatusOr<std::string> SampleDigest(const Sample& sample) {
  ASSIGN_OR_RETURN(const std::string json, SampleToJson(sample));
  return Sha256Hex(json);
}

size_t PlaceOf(std::string_view sample_digest,
               std::span<const std::string> places) {
  size_t best = 0;
  std::string greatest;
  for (size_t i = 0; i < places.size(); ++i) {
    Sha256 digest;
    digest.AddField(sample_digest);
    digest.AddField(places[i]);
    std::string weight = digest.HexDigest();
    if (weight <= greatest) continue;
    greatest = std::move(weight);
    best = i;
  }
  return best;
}

absl::StatusOr<Shard> ParseShard(std::string_view text) {
  const size_t slash = text.find('/');
  Shard shard;
  if (slash != std::string_view::npos &&
      ParseNumber(text.substr(0, slash), &shard.index) &&
      ParseNumber(text.substr(slash + 1), &shard.count) &&
      shard.index < shard.count && shard.count <= kMostShards)
    return shard;
  return absl::InvalidArgumentError(absl::StrCat(
      "'", std::string(text),
      "' is no shard: expected INDEX/COUNT, the index "
      "from 0 (0/4, 1/4, 2/4 and 3/4 are the four of four), the count at most ",
      kMostShards));
}

absl::StatusOr<std::vector<Sample>> TakeShard(std::vector<Sample> samples,
                                              const Shard& shard) {
  std::vector<std::string> places;
  for (int64_t i = 0; i < shard.count; ++i) places.push_back(absl::StrCat(i));
  std::vector<Sample> taken;
  for (Sample& sample : samples) {
    ASSIGN_OR_RETURN(const std::string digest, SampleDigest(sample));
    if (PlaceOf(digest, places) == static_cast<size_t>(shard.index))
      taken.push_back(std::move(sample));
  }
  return taken;
}

}  // namespace kvrecall
