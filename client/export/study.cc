#include "client/export/study.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "nlohmann/json.hpp"

#include "common/base/status_macros.h"
#include "common/record/headline.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// The table with the lanes of one budget only. Gap lanes are left out: a lane's
// budget may be another.
RunTable OfBudget(const RunTable& table, int budget) {
  RunTable part = table;
  part.config.budgets = {table.config.budgets[static_cast<size_t>(budget)]};
  part.config.gaps.clear();
  part.gaps.clear();
  part.lanes = Lanes(part.config);
  part.columns.clear();
  for (size_t i = 0; i < table.lanes.size(); ++i)
    if (table.lanes[i].budget == budget)
      part.columns.push_back(table.columns[i]);
  return part;
}

Json LogsOf(const RunInfo& run, const RunTable& table) {
  const int lane = HeadlineOf(table.config).lanes.front();
  const Lane& names = table.lanes[static_cast<size_t>(lane)];
  const LaneColumns& columns = table.columns[static_cast<size_t>(lane)];
  Json json;
  json["run_id"] = run.run_id;
  json["task"] = run.config.task;
  json["model"] = run.provenance.model;
  json["policy"] =
      table.config.policies[static_cast<size_t>(names.policy)].ToString();
  json["scope"] = std::string(
      ScopeName(table.config.scopes[static_cast<size_t>(names.scope)]));
  json["budget"] = table.config.budgets.front().ToString();
  json["samples"] = Json::array();
  for (size_t s = 0; s < table.samples.size(); ++s) {
    Json sample;
    sample["id"] = table.samples[s].id;
    sample["score"] =
        table.samples[s].score ? Json(*table.samples[s].score) : Json();
    sample["steps"] = Json::array();
    for (auto i = static_cast<size_t>(table.first[s]);
         i < static_cast<size_t>(table.first[s + 1]); ++i)
      sample["steps"].push_back({{"step", table.step[i]},
                                 {"token", table.token[i]},
                                 {"entropy", table.entropy[i]},
                                 {"recall", columns.recall[i]}});
    json["samples"].push_back(std::move(sample));
  }
  return json;
}

absl::Status WriteWhole(const std::string& text, const fs::path& path) {
  const fs::path part = path.string() + ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (file) fs::rename(part, path, error);
  if (file && !error) return absl::OkStatus();
  fs::remove(part, error);
  return absl::InvalidArgumentError(
      absl::StrCat("cannot write ", path.string()));
}

}  // namespace

absl::StatusOr<std::string> ExportStudy(const RunInfo& run,
                                        const RunTable& table,
                                        const std::string& folder,
                                        bool overwrite,
                                        const DrawFigures& draw) {
  std::string made;
  for (size_t b = 0; b < table.config.budgets.size(); ++b) {
    const RunTable part = OfBudget(table, static_cast<int>(b));
    // "tokens:512" and "prompt:0.2" without what file systems dislike.
    const std::string budget =
        absl::StrReplaceAll(table.config.budgets[b].ToString(), {{":", "_"}});
    const fs::path results = fs::path(folder) / "results" /
                             absl::StrCat(run.config.task, "_budget_", budget);
    const fs::path logs = results / "logs.json";
    std::error_code error;
    if (!overwrite && fs::exists(logs, error))
      return absl::AlreadyExistsError(
          absl::StrCat(logs.string(), " exists; give --force to overwrite it"));
    fs::create_directories(results / "plots", error);
    if (error)
      return absl::InvalidArgumentError(absl::StrCat(
          "cannot make the folder ", results.string(), ": ", error.message()));
    RETURN_IF_ERROR(WriteWhole(
        LogsOf(run, part).dump(1, ' ', false, Json::error_handler_t::replace) +
            "\n",
        logs));
    RETURN_IF_ERROR(draw(part, (results / "plots").string()));
    absl::StrAppend(&made, results.string(), "\n");
  }
  return made;
}

}  // namespace kvrecall
