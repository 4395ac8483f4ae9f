#include "client/render/status_text.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

#include "client/render/transfer_progress.h"
#include "proto/convert/time_convert.h"

namespace kvrecall {
namespace {

std::string Runs(const v1::ServerStatus& status) {
  std::string text = absl::StrCat(status.runs());
  if (status.has_oldest_run_time())
    absl::StrAppend(
        &text, ", the oldest of ",
        absl::FormatTime("%Y-%m-%d", FromTimestamp(status.oldest_run_time()),
                         absl::UTCTimeZone()));
  if (status.runs_being_deleted() > 0)
    absl::StrAppend(&text, "; ", status.runs_being_deleted(), " being deleted");
  if (status.has_keep())
    absl::StrAppend(&text, "; kept for ",
                    absl::ToInt64Hours(FromProto(status.keep())) / 24,
                    " days after their end");
  return text;
}

std::string Queue(const v1::ServerStatus& status) {
  std::string text = absl::StrCat(status.samples_waiting(), " samples wait, ",
                                  status.samples_running(), " run");
  if (status.samples_held() > 0)
    absl::StrAppend(&text, ", ", status.samples_held(), " are held");
  if (status.max_samples() > 0)
    absl::StrAppend(&text, "; at most ", status.max_samples());
  return text;
}

std::string Database(const v1::ServerStatus& status) {
  std::string text =
      absl::StrCat(BytesText(status.database_bytes()), ", of which records ",
                   BytesText(status.used_bytes()));
  if (status.max_used_bytes() > 0)
    absl::StrAppend(&text, "; no new work from ",
                    BytesText(status.max_used_bytes()), " on");
  return text;
}

std::string Disk(const v1::ServerStatus& status) {
  std::string text = absl::StrCat(BytesText(status.free_disk_bytes()), " free");
  if (status.min_free_disk_bytes() > 0)
    absl::StrAppend(&text, "; no new work below ",
                    BytesText(status.min_free_disk_bytes()));
  return text;
}

}  // namespace

std::string RenderStatus(const v1::ServerStatus& status) {
  return absl::StrCat("server    ",
                      status.draining() ? "drains" : "takes new work", "; ",
                      status.open_streams(), " streams are open\n",       //
                      "runs      ", Runs(status), "\n",                   //
                      "queue     ", Queue(status), "\n",                  //
                      "database  ", Database(status), "\n",               //
                      "log       ", BytesText(status.log_bytes()), "\n",  //
                      "disk      ", Disk(status), "\n");
}

}  // namespace kvrecall
