// Puts load on a kvrecall-server and says, in one line of JSON, what the
// clients saw. The scripts beside it start the server, read its side of the
// figures and judge.
//
//   kvrecall-load watch ADDRESS RUN …   many readers of one run
//   kvrecall-load submit ADDRESS …      many samples at once
//   kvrecall-load flood ADDRESS RUN …   calls that must be refused
//
// watch says "read" when the readers that do not stall have read all, and takes
// "wake" (for those that do) and "cancel" on stdin.

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include <poll.h>
#include <unistd.h>

#include "tests/fault/load_calls.h"
#include "tests/fault/load_commits.h"
#include "tests/fault/load_figures.h"
#include "tests/fault/load_reader.h"

namespace kvrecall {
namespace {

struct WatchOptions {
  int readers = 1;
  int stalled = 0;       // more of them, which stall
  std::string database;  // empty: delays are not measured
};

using Readers = std::vector<std::unique_ptr<Reader>>;

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// A line of stdin if one comes within 10 ms, else nothing; "cancel" where
// nobody is left to say anything.
std::string NextCommand() {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, /*timeout=*/10) <= 0) return "";
  std::string line;
  return std::getline(std::cin, line) ? line : "cancel";
}

bool AllDone(const Readers& readers) {
  return std::all_of(readers.begin(), readers.end(),
                     [](const auto& reader) { return reader->done(); });
}

// Until all streams have ended, or are told to.
void Obey(const Readers& readers, const Readers& stalled) {
  bool said = false;
  while (true) {
    if (!said && AllDone(readers)) {
      said = true;
      Say("read");
    }
    if (said && AllDone(stalled)) return;
    const std::string command = NextCommand();
    for (const Readers* all : {&readers, &stalled})
      for (const auto& reader : *all) {
        if (command == "wake") reader->Wake();
        if (command == "cancel") reader->Cancel();
      }
    if (command == "cancel") return;
  }
}

// When each event was there to be read: in the database, or, where somebody saw
// it earlier, at its first reader.
std::vector<int64_t> Earliest(const Readers& readers,
                              std::vector<int64_t> committed) {
  for (const auto& reader : readers) {
    const std::vector<int64_t>& came = reader->arrivals().events;
    if (committed.size() < came.size())
      committed.resize(came.size(), INT64_MAX);
    for (size_t i = 0; i < came.size(); ++i)
      committed[i] = std::min(committed[i], came[i]);
  }
  return committed;
}

Json Summary(const Readers& readers, const std::vector<int64_t>& committed) {
  const std::vector<int64_t> earliest = Earliest(readers, committed);
  int64_t whole = 0, events = 0, streams = 0, last = 0;
  std::vector<int64_t> delays, pauses;
  std::string error;
  for (const auto& reader : readers) {
    const Arrivals& arrivals = reader->arrivals();
    whole += arrivals.run_ended && arrivals.out_of_order == 0 ? 1 : 0;
    events += std::ssize(arrivals.events);
    streams += arrivals.streams;
    if (error.empty()) error = arrivals.error;
    for (size_t i = 0; i < arrivals.events.size(); ++i)
      delays.push_back(arrivals.events[i] - earliest[i]);
    for (size_t i = 1; i < arrivals.messages.size(); ++i)
      pauses.push_back(arrivals.messages[i] - arrivals.messages[i - 1]);
    if (!arrivals.events.empty()) last = std::max(last, arrivals.events.back());
  }
  const int64_t took = earliest.empty() ? 0 : last - earliest.front();
  return {{"readers", readers.size()},
          {"whole", whole},
          {"events", events},
          {"streams", streams},
          {"seconds", static_cast<double>(took) * 1e-9},
          {"pause_ms", Milliseconds(std::move(pauses))},
          {"delay_ms", Milliseconds(std::move(delays))},
          {"error", error}};
}

int Watch(const std::string& address, const std::string& run_id,
          const WatchOptions& options) {
  std::unique_ptr<CommitClock> commits;
  if (!options.database.empty()) {
    auto started = CommitClock::Start(options.database, run_id);
    if (!started.ok()) {
      std::fprintf(stderr, "kvrecall-load: %s\n",
                   started.status().ToString().c_str());
      return 1;
    }
    commits = *std::move(started);
  }
  Readers readers, stalled;
  const auto start = [&](Readers& where, int count, bool stalls) {
    for (int i = 0; i < count; ++i) {
      where.push_back(
          std::make_unique<Reader>(ReaderOptions{address, run_id, stalls}));
      where.back()->Start();
    }
  };
  start(readers, options.readers, false);
  start(stalled, options.stalled, true);
  Obey(readers, stalled);
  for (const Readers* all : {&readers, &stalled})
    for (const auto& reader : *all) reader->Wait();
  std::vector<int64_t> committed;
  if (commits != nullptr) committed = commits->Stop();
  Say(Json{{"readers", Summary(readers, committed)},
           {"stalled", Summary(stalled, {})}}
          .dump());
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app("Puts load on a kvrecall-server", "kvrecall-load");
  app.require_subcommand(1);
  std::string address, run_id;
  const auto add = [&](const char* name, const char* what) {
    CLI::App* command = app.add_subcommand(name, what);
    command->add_option("address", address)->required();
    return command;
  };

  WatchOptions watch_options;
  CLI::App* watch = add("watch", "many readers of one run");
  watch->add_option("run", run_id)->required();
  watch->add_option("--readers", watch_options.readers);
  watch->add_option("--stalled", watch_options.stalled,
                    "more readers, which read nothing until they are woken");
  watch->add_option("--database", watch_options.database,
                    "the server's file, to tell when an event was committed");

  Burst burst;
  CLI::App* submit = add("submit", "many samples at once, one a call");
  submit->add_option("--samples", burst.samples)->check(CLI::PositiveNumber);
  submit->add_option("--steps", burst.steps)->check(CLI::PositiveNumber);
  submit->add_option("--connections", burst.connections)
      ->check(CLI::PositiveNumber);
  submit->add_flag("--open", burst.stays_open, "more samples might follow");

  Flood flood_options;
  CLI::App* flood = add("flood", "calls that must be refused");
  flood->add_option("run", run_id)->required();
  flood->add_option("--text-bytes", flood_options.text_bytes);
  flood->add_option("--empty-samples", flood_options.empty_samples);
  flood->add_option("--calls", flood_options.calls);

  CLI11_PARSE(app, argc, argv);
  if (watch->parsed()) return Watch(address, run_id, watch_options);
  if (submit->parsed()) Say(SubmitAtOnce(address, burst).dump());
  if (flood->parsed()) Say(SendFlood(address, run_id, flood_options).dump());
  return 0;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) { return kvrecall::Main(argc, argv); }
