#include "client/commands/report.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "client/commands/run_option.h"
#include "client/placed_run.h"
#include "client/pull.h"
#include "client/report/report.h"
#include "client/whole_file.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct ReportOptions {
  RunOption run;
  AnalysisOptions analysis;
  std::string out;
  int64_t samples = 20;
  bool force = false;
};

// The file that has the run: --db, or what the server sends, for as long as
// this lives.
class LocalRun {
 public:
  ~LocalRun() {
    std::error_code error;
    if (!pulled_.empty()) std::filesystem::remove(pulled_, error);
  }

  absl::Status Fetch(const RunOption& run, const ServerChoice& server,
                     const std::string& near) {
    database_ = run.database;
    run_id_ = run.run_id;
    if (!database_.empty()) return absl::OkStatus();
    database_ = near + ".db.tmp";
    ASSIGN_OR_RETURN(const auto servers, ConnectAll(server));
    ASSIGN_OR_RETURN(const std::vector<PlacedRun> runs,
                     FindRuns(servers, run.run_id));
    ASSIGN_OR_RETURN(run_id_, PullStudy(
                                  runs, database_, /*overwrite=*/true,
                                  [](int64_t) {}, [](std::string_view) {}));
    pulled_ = database_;
    return absl::OkStatus();
  }

  const std::string& database() const { return database_; }
  const std::string& run_id() const { return run_id_; }  // its name there

 private:
  std::string database_, pulled_, run_id_;
};

absl::StatusOr<int> Report(const ReportOptions& options,
                           const CommandContext& context) {
  const std::string path =
      options.out.empty() ? options.run.run_id + ".html" : options.out;
  ASSIGN_OR_RETURN(const std::unique_ptr<WholeFile> file,
                   WholeFile::Create(path, options.force));
  LocalRun local;
  RETURN_IF_ERROR(local.Fetch(options.run, context.server, path));
  ASSIGN_OR_RETURN(
      const ReportData data,
      ReadReportData(local.database(), local.run_id(), options.samples));
  ASSIGN_OR_RETURN(const RunAnalysis analysis,
                   AnalyzeRun(data.table, options.analysis));
  ASSIGN_OR_RETURN(const std::string page, RenderReport(data, analysis));
  file->stream() << page;
  RETURN_IF_ERROR(file->Commit());
  *context.environment.out << path << std::endl;
  return kExitOk;
}

}  // namespace

void AddReportCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<ReportOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Write a run as one HTML page (needs gnuplot)");
  AddRunOption(*command, options->run);
  AddAnalysisOptions(*command, options->analysis);
  command->add_option("--out", options->out, "File (default: RUN.html)");
  command
      ->add_option("--samples", options->samples,
                   "Show the texts of the first N samples, token by token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_flag("--force", options->force, "Overwrite the file");
  command->callback([options, &context] {
    context.run = [options, &context] { return Report(*options, context); };
  });
}

}  // namespace kvrecall
