#pragma once

// How far a download has come: a bar on a terminal, nothing elsewhere. Not
// thread-safe.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/clock.h"
#include "absl/time/time.h"

#include "client/environment.h"

namespace kvrecall {

// "812 B", "385.9 kB", "114.0 MB", "1.2 GB": powers of 1000.
std::string BytesText(int64_t bytes);

// The figures. The rate is that of the last few seconds, so that it says what
// the connection does now.
class TransferProgress {
 public:
  // `done`: bytes that were there before, ≥ 0.
  TransferProgress(int64_t done, absl::Time start);

  // Bytes that are there now, fewer where it started over; of how many in all,
  // 0 where nobody knows.
  void Set(int64_t done, int64_t total, absl::Time now);

  double BytesPerSecond() const { return rate_; }
  // Time until it is whole at that rate; nullopt where that is not known.
  std::optional<absl::Duration> Remaining() const;

  // "[===>   ] 12.3 MB of 114.0 MB  4.1 MB/s  ETA 0:25" in at most `columns`
  // columns. Without a total there is neither bar nor ETA.
  std::string Bar(int columns) const;

 private:
  int64_t done_;
  int64_t total_ = 0;
  // The rate's last measurement: where it began, and what it gave.
  int64_t measured_done_;
  absl::Time measured_at_;
  double rate_ = 0;
};

// Writes it to the environment's error stream, on a terminal: one line that is
// redrawn at most ten times a second.
class TransferDisplay {
 public:
  using Clock = std::function<absl::Time()>;
  // `environment` outlives this. `done` as above.
  TransferDisplay(const Environment& environment, int64_t done,
                  Clock clock = absl::Now);

  // As TransferProgress::Set.
  void Set(int64_t done, int64_t total);

  // A line of text between the redraws.
  void Message(std::string_view line);

  // The last state, then a line end, where anything was drawn. Call once.
  void Finish();

 private:
  void Draw(absl::Time now);

  const Environment& environment_;
  Clock clock_;
  TransferProgress progress_;
  absl::Time last_write_ = absl::InfinitePast();
};

}  // namespace kvrecall
