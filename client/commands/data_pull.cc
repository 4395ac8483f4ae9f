#include "client/commands/data_pull.h"

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

#include "client/commands/import_report.h"
#include "client/data.h"
#include "client/data/datasets.h"
#include "client/data/download.h"
#include "client/data/import.h"
#include "client/data/part_file.h"
#include "client/render/bar.h"
#include "client/render/transfer_progress.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

constexpr char kLongBenchUrl[] =
    "https://huggingface.co/datasets/zai-org/LongBench/resolve/main/data.zip";
constexpr char kArchiveName[] = "longbench.zip";
constexpr char kByHand[] =
    "; it can be downloaded by hand and given to 'kvrecall-client data add "
    "FILE'";

struct DataPullOptions {
  std::string url;
  std::string data;
  bool force = false;
  bool keep = false;
};

// All that one pull works with.
struct Pull {
  const CommandContext& context;
  std::string url;
  std::string folder;
  bool force;
  PartFile part;
  absl::Notification& interrupted;
};

std::string UrlOf(const DataPullOptions& options,
                  const Environment& environment) {
  if (!options.url.empty()) return options.url;
  return environment.longbench_url.empty() ? kLongBenchUrl
                                           : environment.longbench_url;
}

bool HasAll(const std::string& folder, const Environment& environment) {
  const std::vector<std::string>& all = LongBenchDatasets();
  return std::all_of(all.begin(), all.end(), [&](const std::string& dataset) {
    return FindDataFile(dataset, folder, environment).ok();
  });
}

// Whether the way by hand may help: not where this machine is the reason.
bool HelpsByHand(const absl::Status& status) {
  return !absl::IsResourceExhausted(status) &&
         !absl::IsFailedPrecondition(status);
}

// The download's error with what can be done about it.
absl::Status FetchError(Pull& pull, const absl::Status& status) {
  if (pull.part.size() == 0) pull.part.Remove();
  return absl::Status(
      status.code(),
      absl::StrCat("cannot download ", pull.url, ": ",
                   std::string(status.message()),
                   pull.part.CanGoOn()
                       ? "; what came stays, and calling it again goes on"
                       : "",
                   HelpsByHand(status) ? kByHand : ""));
}

absl::Status Fetch(Pull& pull) {
  std::ostream& err = *pull.context.environment.err;
  const int64_t before = pull.part.size();
  err << "downloading " << pull.url
      << (before > 0 ? absl::StrCat(" (", BytesText(before), " are there)")
                     : "")
      << std::endl;
  const absl::Time start = absl::Now();
  TransferDisplay display(pull.context.environment, before);
  const DownloadHooks hooks{
      .progress = [&](int64_t done,
                      int64_t total) { display.Set(done, total); },
      .message = [&](std::string_view line) { display.Message(line); },
      .cancelled = [&] { return pull.context.interrupt.requested(); },
      .pause =
          [&](absl::Duration pause) {
            pull.interrupted.WaitForNotificationWithTimeout(pause);
          }};
  const absl::Status status = Download({.url = pull.url}, hooks, pull.part);
  display.Finish();
  if (absl::IsCancelled(status)) return status;
  if (!status.ok()) return FetchError(pull, status);
  err << "downloaded " << BytesText(pull.part.size()) << " in "
      << ClockText(absl::Now() - start) << "; checking its files" << std::endl;
  return absl::OkStatus();
}

// A page instead of the archive comes from a network's sign-in, or from a wrong
// address.
absl::Status CheckIsArchive(const Pull& pull) {
  std::ifstream file(pull.part.path(), std::ios::binary);
  char first[2] = {};
  file.read(first, sizeof(first));
  if (first[0] == 'P' && first[1] == 'K') return absl::OkStatus();
  return absl::InvalidArgumentError(first[0] == '<'
                                        ? "it is a web page, no zip archive"
                                        : "it is no zip archive");
}

// Takes over what came. Content that is no good is of no use to a later call;
// anything else keeps it.
absl::Status TakeOver(Pull& pull) {
  absl::Status status = CheckIsArchive(pull);
  if (status.ok()) {
    status = ImportAndReport({pull.part.path()}, pull.folder, pull.force,
                             pull.context);
  }
  if (status.ok() || absl::IsCancelled(status)) return status;
  if (absl::IsInvalidArgument(status)) {
    pull.part.Remove();
    return absl::DataLossError(absl::StrCat(
        "what came from ", pull.url, " is no good and was removed: ",
        std::string(status.message()), kByHand));
  }
  return absl::Status(status.code(),
                      absl::StrCat(std::string(status.message()),
                                   "; what was downloaded stays for the next "
                                   "call"));
}

int Interrupted(Pull& pull) {
  std::ostream& err = *pull.context.environment.err;
  if (pull.part.CanGoOn()) {
    err << "stopped; " << BytesText(pull.part.size())
        << " are there, and calling it again goes on from there" << std::endl;
  } else {
    pull.part.Remove();
    err << "stopped" << std::endl;
  }
  return kExitInterrupted;
}

absl::Status PutAway(Pull& pull, bool keep) {
  if (!keep) {
    pull.part.Remove();
    return absl::OkStatus();
  }
  const std::string path = absl::StrCat(pull.folder, "/", kArchiveName);
  RETURN_IF_ERROR(pull.part.MoveTo(path));
  *pull.context.environment.err << "kept " << path << std::endl;
  return absl::OkStatus();
}

absl::StatusOr<int> RunPull(const DataPullOptions& options,
                            const CommandContext& context) {
  const std::string folder = TargetFolder(options.data, context);
  RETURN_IF_ERROR(MakeDataFolder(folder));
  if (!options.force && HasAll(folder, context.environment)) {
    *context.environment.err << "all of LongBench's files are in " << folder
                             << " already; give --force to download them anew"
                             << std::endl;
    return kExitOk;
  }
  absl::Notification interrupted;
  const Interrupt::Scope scope(context.interrupt,
                               [&interrupted] { interrupted.Notify(); });
  ASSIGN_OR_RETURN(PartFile part, PartFile::Open(absl::StrCat(
                                      folder, "/", kArchiveName, ".part")));
  Pull pull{context,         UrlOf(options, context.environment),
            folder,          options.force,
            std::move(part), interrupted};
  absl::Status status = Fetch(pull);
  if (status.ok()) status = TakeOver(pull);
  if (absl::IsCancelled(status)) return Interrupted(pull);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(PutAway(pull, options.keep));
  return kExitOk;
}

}  // namespace

void AddDataPullCommand(CLI::App& group, CommandContext& context) {
  auto options = std::make_shared<DataPullOptions>();
  CLI::App* command = group.add_subcommand(
      "pull", "Download LongBench's files to the data folder");
  command->add_option("--url", options->url,
                      absl::StrCat("LongBench's data.zip (or set "
                                   "KVRECALL_LONGBENCH_URL; default: ",
                                   kLongBenchUrl, ")"));
  command->add_option("--data", options->data,
                      "Folder to put them in (default: the user's data "
                      "folder)");
  command->add_flag("--force", options->force,
                    "Replace files that have other content");
  command->add_flag("--keep", options->keep,
                    absl::StrCat("Keep the archive too, as ", kArchiveName));
  command->callback([options, &context] {
    context.run = [options, &context] { return RunPull(*options, context); };
  });
}

}  // namespace kvrecall
