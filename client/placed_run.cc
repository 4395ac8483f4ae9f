#include "client/placed_run.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

#include "common/base/status_macros.h"
#include "common/record/run_difference.h"

namespace kvrecall {
namespace {

using Servers = std::vector<std::shared_ptr<const Connection>>;

absl::StatusOr<std::vector<std::string>> SplitName(std::string_view name) {
  std::vector<std::string> names;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(name.data(), name.size()), ',')) {
    names.emplace_back(absl::StripAsciiWhitespace(part));
    if (names.back().empty() ||
        std::count(names.begin(), names.end(), names.back()) > 1)
      return absl::InvalidArgumentError(absl::StrCat(
          "run '", std::string(name),
          "': expected a run's name, or different ones by commas"));
  }
  return names;
}

absl::StatusOr<PlacedRun> FindRun(const Servers& servers,
                                  const std::string& name) {
  absl::Status why;
  for (const auto& server : servers) {
    absl::StatusOr<RunInfo> run = server->GetRun(name);
    if (run.ok()) return PlacedRun{server, *std::move(run)};
    // That it is not here says less than that nobody knows.
    if (why.ok() || absl::IsNotFound(why)) why = run.status();
  }
  if (servers.size() > 1 && absl::IsNotFound(why))
    return absl::NotFoundError(
        absl::StrCat("run '", name, "' is on none of the servers"));
  return why;
}

RunState JoinStates(const RunInfo& joined, const std::vector<PlacedRun>& runs) {
  const auto any = [&](auto is) {
    return std::any_of(runs.begin(), runs.end(), [&](const PlacedRun& run) {
      return is(run.info.state);
    });
  };
  if (any([](RunState s) { return !IsTerminal(s); }))
    return any([](RunState s) { return s != RunState::kQueued; })
               ? RunState::kRunning
               : RunState::kQueued;
  if (any([](RunState s) { return s == RunState::kCancelled; }))
    return RunState::kCancelled;
  if (!any([](RunState s) { return s != RunState::kSucceeded; }))
    return RunState::kSucceeded;
  return joined.samples_done > 0 ? RunState::kPartiallyFailed
                                 : RunState::kFailed;
}

}  // namespace

absl::StatusOr<Servers> ConnectAll(const ServerChoice& servers) {
  ASSIGN_OR_RETURN(const std::vector<std::string> addresses,
                   ServerAddresses(servers.address));
  Servers connections;
  for (const std::string& address : addresses) {
    ServerChoice one = servers;
    one.address = address;
    ASSIGN_OR_RETURN(Connection connection, Connect(one));
    connections.push_back(
        std::make_shared<const Connection>(std::move(connection)));
  }
  return connections;
}

absl::StatusOr<std::vector<PlacedRun>> FindRuns(const Servers& servers,
                                                std::string_view name) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, SplitName(name));
  std::vector<PlacedRun> runs;
  for (const std::string& one : names) {
    ASSIGN_OR_RETURN(PlacedRun run, FindRun(servers, one));
    runs.push_back(std::move(run));
  }
  return runs;
}

absl::StatusOr<RunInfo> JoinRuns(const std::vector<PlacedRun>& runs) {
  RunInfo joined = runs.front().info;
  if (runs.size() == 1) return joined;
  int64_t ended = IsTerminal(joined.state);
  for (size_t i = 1; i < runs.size(); ++i) {
    const RunInfo& run = runs[i].info;
    const std::string difference = RunDifference(joined, run);
    if (!difference.empty())
      return absl::InvalidArgumentError(absl::StrCat(
          "run ", run.run_id, " at ", runs[i].connection->address(),
          " was not made like run ", runs.front().info.run_id, " at ",
          runs.front().connection->address(), ": they differ in ", difference));
    absl::StrAppend(&joined.run_id, ",", run.run_id);
    if (run.owner != joined.owner) joined.owner.clear();
    joined.samples_submitted += run.samples_submitted;
    joined.samples_done += run.samples_done;
    joined.samples_failed += run.samples_failed;
    joined.complete = joined.complete && run.complete;
    joined.last_sequence += run.last_sequence;
    joined.create_time = std::min(joined.create_time, run.create_time);
    if (joined.end_time && run.end_time)
      joined.end_time = std::max(*joined.end_time, *run.end_time);
    else
      joined.end_time.reset();
    if (run.deadline)
      joined.deadline =
          std::min(joined.deadline.value_or(*run.deadline), *run.deadline);
    if (joined.held.empty() && !run.held.empty())
      joined.held = absl::StrCat(runs[i].connection->address(), ": ", run.held);
    ended += IsTerminal(run.state);
  }
  joined.state = JoinStates(joined, runs);
  // Of their ends one is left, once all have come.
  joined.last_sequence -= ended;
  if (IsTerminal(joined.state)) ++joined.last_sequence;
  return joined;
}

}  // namespace kvrecall
