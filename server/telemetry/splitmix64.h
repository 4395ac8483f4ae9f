#pragma once

// Random numbers that are functions of what they are for, so that no state is
// carried: the same sample gives the same numbers.

#include <cstdint>

namespace kvrecall {

// Sebastiano Vigna's splitmix64 (public domain, prng.di.unimi.it): one step
// from state `x`.
constexpr uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace kvrecall
