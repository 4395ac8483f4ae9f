#pragma once

// How far a run has come, from its events: a bar on a terminal, plain lines
// elsewhere. Not thread-safe.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "client/environment.h"
#include "common/record/record.h"

namespace kvrecall {

// The figures. Events that were there before the watcher came count as done,
// but say nothing about the speed.
class Progress {
 public:
  // `total`: samples of the run, ≥ 0. `start`: when watching began.
  Progress(int64_t total, absl::Time start);

  void Add(const Event& event, bool is_new);

  int64_t done() const { return done_; }
  int64_t total() const { return total_; }
  double TokensPerSecond(absl::Time now) const;
  // Time until the last sample ends, if the rest goes as fast; nullopt before
  // the first has ended.
  std::optional<absl::Duration> Remaining(absl::Time now) const;

  // "[=====>    ] 12/50 samples  431 tokens/s  ETA 0:42" in at most `columns`
  // columns: the bar shrinks first, then parts fall away from the right.
  std::string Bar(int columns, absl::Time now) const;
  // "12/50 samples, 1 failed, 5120 tokens, 431 tokens/s, ETA 0:42"
  std::string Line(absl::Time now) const;

 private:
  int64_t total_;
  absl::Time start_;
  int64_t done_ = 0;      // samples, the failed ones included
  int64_t failed_ = 0;    // samples
  int64_t tokens_ = 0;    // steps
  int64_t new_done_ = 0;  // samples, without the history
  int64_t new_tokens_ = 0;
};

// Writes it to the environment's error stream: on a terminal one line that is
// redrawn at most ten times a second, else a line for finished samples, at
// most one a second.
class ProgressDisplay {
 public:
  using Clock = std::function<absl::Time()>;
  // `environment` outlives this.
  ProgressDisplay(const Environment& environment, int64_t total,
                  Clock clock = absl::Now);

  // `is_new`: it came after the watcher.
  void Add(const Event& event, bool is_new);

  // A line of text between the redraws.
  void Message(std::string_view line);

  // The last state, then a line end. Call once.
  void Finish();

 private:
  void Draw(absl::Time now);

  const Environment& environment_;
  Clock clock_;
  Progress progress_;
  absl::Time last_write_ = absl::InfinitePast();
  int64_t done_written_ = 0;
};

}  // namespace kvrecall
