#pragma once

// How a study's samples are divided among several servers or jobs: by each
// sample's own digest, so that everyone who divides the same samples among the
// same places comes to the same result, whatever else is there and in whatever
// order. Pure.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/jsonl.h"

namespace kvrecall {

// SHA-256, hexadecimal, of all that the sample is: of SampleToJson. Fails as
// that does.
absl::StatusOr<std::string> SampleDigest(const Sample& sample);

// The index of the place, of `places` ≥ 1 names, that the sample with this
// digest belongs to: the one where SHA-256 over digest and name is the greatest
// (rendezvous hashing). Without one of the places, its samples alone go
// elsewhere; a new one takes from each of the others.
size_t PlaceOf(std::string_view sample_digest,
               std::span<const std::string> places);

// One of `count` parts of a study, counted from 0.
struct Shard {
  int64_t index = 0;
  int64_t count = 1;
};

// The most parts of a study.
inline constexpr int64_t kMostShards = 10'000;

// Reads "0/4" … "3/4". InvalidArgument says what a shard looks like.
absl::StatusOr<Shard> ParseShard(std::string_view text);

// Those of the samples that belong to the shard, in their order. The places are
// the numbers of the shards. Fails as SampleDigest.
absl::StatusOr<std::vector<Sample>> TakeShard(std::vector<Sample> samples,
                                              const Shard& shard);

}  // namespace kvrecall
