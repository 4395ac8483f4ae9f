#include "client/render/transfer_progress.h"

#include <array>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

#include "client/render/bar.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kRedrawEvery = absl::Milliseconds(100);
constexpr absl::Duration kMeasureEvery = absl::Seconds(1);
// The share of a new measurement; the rest is that of the ones before.
constexpr double kNewShare = 0.3;

}  // namespace

std::string BytesText(int64_t bytes) {
  constexpr std::array<const char*, 4> kUnits = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return absl::StrCat(bytes, " B");
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  // What would be rounded to 1000.0 has the next unit.
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

TransferProgress::TransferProgress(int64_t done, absl::Time start)
    : done_(done), measured_done_(done), measured_at_(start) {}

void TransferProgress::Set(int64_t done, int64_t total, absl::Time now) {
  if (done < done_) {  // it starts over
    measured_done_ = done;
    measured_at_ = now;
  }
  done_ = done;
  total_ = total;
  const absl::Duration passed = now - measured_at_;
  if (passed < kMeasureEvery) return;
  const double rate = static_cast<double>(done - measured_done_) /
                      absl::ToDoubleSeconds(passed);
  rate_ = rate_ > 0 ? rate_ + kNewShare * (rate - rate_) : rate;
  measured_done_ = done;
  measured_at_ = now;
}

std::optional<absl::Duration> TransferProgress::Remaining() const {
  if (total_ > 0 && done_ >= total_) return absl::ZeroDuration();
  if (total_ == 0 || rate_ <= 0) return std::nullopt;
  return absl::Seconds(static_cast<double>(total_ - done_) / rate_);
}

std::string TransferProgress::Bar(int columns) const {
  std::vector<std::string> parts = {BytesText(done_)};
  if (total_ > 0) absl::StrAppend(&parts[0], " of ", BytesText(total_));
  if (rate_ > 0) {
    const auto rate = static_cast<int64_t>(rate_);
    parts.push_back(absl::StrCat(BytesText(rate), "/s"));
  }
  if (total_ == 0) return absl::StrJoin(parts, "  ");
  parts.push_back(EtaText(Remaining()));
  return DrawBar(columns, done_, total_, parts);
}

TransferDisplay::TransferDisplay(const Environment& environment, int64_t done,
                                 Clock clock)
    : environment_(environment),
      clock_(std::move(clock)),
      progress_(done, clock_()) {}

void TransferDisplay::Set(int64_t done, int64_t total) {
  const absl::Time now = clock_();
  progress_.Set(done, total, now);
  if (now - last_write_ >= kRedrawEvery) Draw(now);
}

void TransferDisplay::Draw(absl::Time now) {
  if (!environment_.err_is_terminal) return;
  // The last column stays free: some terminals wrap when it is written.
  *environment_.err << '\r' << progress_.Bar(environment_.err_columns() - 1)
                    << "\x1b[K" << std::flush;
  last_write_ = now;
}

void TransferDisplay::Message(std::string_view line) {
  if (environment_.err_is_terminal) *environment_.err << "\r\x1b[K";
  *environment_.err << line << std::endl;
}

void TransferDisplay::Finish() {
  if (last_write_ == absl::InfinitePast()) return;
  Draw(clock_());
  *environment_.err << std::endl;
}

}  // namespace kvrecall
