#include "client/render/progress.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/render/bar.h"

namespace kvrecall {
namespace {

constexpr absl::Duration kRedrawEvery = absl::Milliseconds(100);
constexpr absl::Duration kLineEvery = absl::Seconds(1);

}  // namespace

Progress::Progress(int64_t total, absl::Time start)
    : total_(total), start_(start) {}

void Progress::Add(const Event& event, bool is_new) {
  if (std::holds_alternative<StepRecord>(event.body)) {
    ++tokens_;
    if (is_new) ++new_tokens_;
    return;
  }
  const bool failed = std::holds_alternative<SampleFailure>(event.body);
  if (failed || std::holds_alternative<SampleResult>(event.body)) {
    ++done_;
    if (failed) ++failed_;
    if (is_new) ++new_done_;
    total_ = std::max(total_, done_);
  }
}

double Progress::TokensPerSecond(absl::Time now) const {
  const double seconds = absl::ToDoubleSeconds(now - start_);
  return seconds > 0 ? static_cast<double>(new_tokens_) / seconds : 0;
}

std::optional<absl::Duration> Progress::Remaining(absl::Time now) const {
  if (done_ >= total_) return absl::ZeroDuration();
  if (new_done_ == 0) return std::nullopt;
  return (now - start_) *
         (static_cast<double>(total_ - done_) / static_cast<double>(new_done_));
}

std::string Progress::Bar(int columns, absl::Time now) const {
  std::vector<std::string> parts = {
      absl::StrCat(done_, "/", total_, " samples")};
  if (failed_ > 0) parts.push_back(absl::StrCat(failed_, " failed"));
  parts.push_back(absl::StrFormat("%.0f tokens/s", TokensPerSecond(now)));
  parts.push_back(EtaText(Remaining(now)));
  return DrawBar(columns, done_, total_, parts);
}

std::string Progress::Line(absl::Time now) const {
  return absl::StrCat(done_, "/", total_, " samples",
                      failed_ > 0 ? absl::StrCat(", ", failed_, " failed") : "",
                      ", ", tokens_, " tokens, ",
                      absl::StrFormat("%.0f tokens/s", TokensPerSecond(now)),
                      ", ", EtaText(Remaining(now)));
}

ProgressDisplay::ProgressDisplay(const Environment& environment, int64_t total,
                                 Clock clock)
    : environment_(environment),
      clock_(std::move(clock)),
      progress_(total, clock_()) {}

void ProgressDisplay::Add(const Event& event, bool is_new) {
  progress_.Add(event, is_new);
  const absl::Time now = clock_();
  const bool due =
      environment_.err_is_terminal
          ? now - last_write_ >= kRedrawEvery
          : progress_.done() > done_written_ && now - last_write_ >= kLineEvery;
  if (due) Draw(now);
}

void ProgressDisplay::Draw(absl::Time now) {
  std::ostream& err = *environment_.err;
  if (environment_.err_is_terminal) {
    // The last column stays free: some terminals wrap when it is written.
    err << '\r' << progress_.Bar(environment_.err_columns() - 1, now)
        << "\x1b[K" << std::flush;
  } else {
    err << progress_.Line(now) << std::endl;
  }
  last_write_ = now;
  done_written_ = progress_.done();
}

void ProgressDisplay::Message(std::string_view line) {
  if (environment_.err_is_terminal) *environment_.err << "\r\x1b[K";
  *environment_.err << line << std::endl;
}

void ProgressDisplay::Finish() {
  // The last state is written even if a line for it was only just due.
  if (environment_.err_is_terminal || progress_.done() > done_written_) {
    Draw(clock_());
  }
  if (environment_.err_is_terminal) *environment_.err << std::endl;
}

}  // namespace kvrecall
