#pragma once

// Whose sample is next, where several clients have samples that wait: deficit
// round robin by tokens (Shreedhar and Varghese, 1995). Each client in turn
// gets a quantum, and runs samples as long as what it has saved covers them, so
// that in the long run all get the same number of tokens, however long their
// samples are. Not thread-safe.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace kvrecall {

// A client with samples that wait.
struct Waiting {
  std::string owner;
  int64_t cost = 1;  // tokens of its oldest sample, at least 1
};

class FairTurns {
 public:
  // The index of who is next. `waiting` is not empty, and its owners ascend
  // strictly. Those that are missing have nothing to run, and forfeit what they
  // have saved. Counts the sample as run.
  size_t Next(const std::vector<Waiting>& waiting);

 private:
  std::map<std::string, int64_t> saved_;  // tokens, of those that waited last
  std::string current_;                   // whose turn it is
};

}  // namespace kvrecall
