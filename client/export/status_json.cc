#include "client/export/status_json.h"

#include <string>

#include "absl/time/time.h"

#include "proto/convert/time_convert.h"

namespace kvrecall {

nlohmann::ordered_json StatusToJson(const v1::ServerStatus& status) {
  nlohmann::ordered_json json;
  json["draining"] = status.draining();
  json["runs"] = status.runs();
  json["oldest_run_time"] = nullptr;
  if (status.has_oldest_run_time())
    json["oldest_run_time"] = absl::FormatTime(
        "%Y-%m-%dT%H:%M:%SZ", FromTimestamp(status.oldest_run_time()),
        absl::UTCTimeZone());
  json["runs_being_deleted"] = status.runs_being_deleted();
  json["samples_waiting"] = status.samples_waiting();
  json["samples_held"] = status.samples_held();
  json["samples_running"] = status.samples_running();
  json["max_samples"] = status.max_samples();
  json["open_streams"] = status.open_streams();
  json["database_bytes"] = status.database_bytes();
  json["used_bytes"] = status.used_bytes();
  json["max_used_bytes"] = status.max_used_bytes();
  json["log_bytes"] = status.log_bytes();
  json["free_disk_bytes"] = status.free_disk_bytes();
  json["min_free_disk_bytes"] = status.min_free_disk_bytes();
  json["keep_days"] = nullptr;
  if (status.has_keep())
    json["keep_days"] = absl::ToInt64Hours(FromProto(status.keep())) / 24;
  return json;
}

}  // namespace kvrecall
