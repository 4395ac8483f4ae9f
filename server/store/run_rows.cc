#include "server/store/run_rows.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/status_macros.h"
#include "common/record/json.h"
#include "common/records_db/reader.h"
#include "server/store/run_deletion.h"

namespace kvrecall {
namespace {

const char* BudgetKindName(Budget::Kind kind) {
  switch (kind) {
    case Budget::Kind::kCurrentRatio:
      return "current_ratio";
    case Budget::Kind::kPromptRatio:
      return "prompt_ratio";
    case Budget::Kind::kTokens:
      return "tokens";
  }
  return "";
}

// To the microsecond, as the database has it, and never before its time.
std::optional<int64_t> DeadlineMicros(absl::Time now, absl::Duration limit) {
  if (limit == absl::InfiniteDuration()) return std::nullopt;
  return absl::ToUnixMicros(now) +
         absl::ToInt64Microseconds(absl::Ceil(limit, absl::Microseconds(1)));
}

}  // namespace

absl::StatusOr<RunInfo> RunRows::Create(const NewRun& run, absl::Time now) {
  ASSIGN_OR_RETURN(
      Statement first,
      database_.Prepare(
          "SELECT run_id, body_digest FROM runs WHERE request_id = ?1"));
  RETURN_IF_ERROR(first.Bind(run.request_id));
  ASSIGN_OR_RETURN(const bool again, first.Step());
  if (again) {
    const std::string run_id(first.Text(0));
    if (first.Text(1) == run.body_digest) return ReadRun(database_, run_id);
    return absl::AlreadyExistsError(absl::StrCat(
        "request id '", run.request_id, "' was used for run '", run_id,
        "', which asks for something else; use a new request id"));
  }
  const std::string run_id = run_ids_.Next(now);
  ASSIGN_OR_RETURN(const int64_t key, NextRunKey(database_));
  RETURN_IF_ERROR(database_.Run(
      "INSERT INTO runs (id, run_id, request_id, body_digest, state, config, "
      "provenance, created_us, owner, may_reuse, deadline_us) "
      "VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7, ?8, ?9, ?10)",
      key, run_id, run.request_id, run.body_digest,
      ConfigToJson(run.config).dump(), ProvenanceToJson(run.provenance).dump(),
      absl::ToUnixMicros(now), run.owner, run.may_reuse,
      DeadlineMicros(now, run.time_limit)));
  RETURN_IF_ERROR(InsertLanes(key, run.config));
  return ReadRun(database_, run_id);
}

absl::Status RunRows::InsertLanes(int64_t run, const RunConfig& config) {
  int64_t number = 0;
  for (const Lane& lane : Lanes(config)) {
    const Budget& budget = config.budgets[lane.budget];
    RETURN_IF_ERROR(database_.Run(
        "INSERT INTO lanes (run, lane, policy, scope, budget, budget_kind, "
        "budget_value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        run, number++, config.policies[lane.policy].ToString(),
        ScopeName(config.scopes[lane.scope]), budget.ToString(),
        BudgetKindName(budget.kind), budget.value));
  }
  number = 0;
  for (const GapSpec& gap : config.gaps) {
    const bool only_pred = gap.kind == GapSpec::Kind::kOnlyPred;
    RETURN_IF_ERROR(database_.Run(
        "INSERT INTO gap_lanes (run, gap, lane, kind, policy, scope, budget, "
        "budget_kind, budget_value) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        run, number++, gap.ToString(), only_pred ? "only_pred" : "without_gold",
        only_pred ? std::optional(gap.policy.ToString()) : std::nullopt,
        ScopeName(gap.scope), gap.budget.ToString(),
        BudgetKindName(gap.budget.kind), gap.budget.value));
  }
  return absl::OkStatus();
}

absl::StatusOr<RunRow> RunRows::Find(const std::string& run_id) {
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT id, state, complete, ended_us IS NOT NULL, "
                        "owner, config, provenance, "
                        "coalesce(config ->> '$.max_new_tokens', 0) "
                        "FROM runs WHERE run_id = ?1"));
  RETURN_IF_ERROR(row.Bind(run_id));
  ASSIGN_OR_RETURN(const bool found, row.Step());
  if (!found) {
    return absl::NotFoundError(
        absl::StrCat("run '", run_id, "' does not exist"));
  }
  return RunRow{row.Int(0),
                std::string(row.Text(1)),
                row.Int(2) != 0,
                row.Int(3) != 0,
                std::string(row.Text(4)),
                std::string(row.Text(5)),
                std::string(row.Text(6)),
                row.Int(7)};
}

absl::StatusOr<std::vector<RunInfo>> RunRows::Open() {
  std::vector<std::string> ids;
  {
    ASSIGN_OR_RETURN(
        Statement row,
        database_.Prepare(
            "SELECT run_id FROM runs WHERE ended_us IS NULL ORDER BY id"));
    while (true) {
      ASSIGN_OR_RETURN(const bool more, row.Step());
      if (!more) break;
      ids.emplace_back(row.Text(0));
    }
  }
  std::vector<RunInfo> runs;
  for (const std::string& id : ids) {
    absl::StatusOr<RunInfo> run = ReadRun(database_, id);
    if (run.ok()) {
      runs.push_back(*std::move(run));
    } else if (!absl::IsDataLoss(run.status())) {
      return run.status();
    }
  }
  return runs;
}

absl::StatusOr<std::vector<OpenDeadline>> RunRows::OpenDeadlines() {
  std::vector<OpenDeadline> deadlines;
  ASSIGN_OR_RETURN(
      Statement row,
      database_.Prepare("SELECT run_id, deadline_us FROM runs "
                        "WHERE ended_us IS NULL AND deadline_us IS NOT NULL"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, row.Step());
    if (!more) return deadlines;
    deadlines.push_back(
        {std::string(row.Text(0)), absl::FromUnixMicros(row.Int(1))});
  }
}

}  // namespace kvrecall
