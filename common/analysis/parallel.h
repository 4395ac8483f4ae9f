#pragma once

// Independent pieces of work on a few threads. Which thread does which piece
// changes no number, so results do not depend on how many there are.

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

namespace kvrecall {

// Calls `piece(i)` for i in [0, count), neighbours on one thread; returns when
// all are done. `piece` must not throw.
template <typename Piece>
void RunInParts(int threads, int64_t count, Piece piece) {
  const int64_t parts =
      std::clamp<int64_t>(threads, 1, std::max<int64_t>(count, 1));
  const auto run = [&](int64_t part) {
    const int64_t end = count * (part + 1) / parts;
    for (int64_t i = count * part / parts; i < end; ++i) piece(i);
  };
  std::vector<std::thread> others;
  for (int64_t part = 1; part < parts; ++part) others.emplace_back(run, part);
  run(0);
  for (std::thread& thread : others) thread.join();
}

}  // namespace kvrecall
