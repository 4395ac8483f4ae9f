#pragma once

// How a server stands, as one JSON object, for scripts. Thread-safe.

#include "nlohmann/json.hpp"

#include "kvrecall/v1/admin_service.pb.h"

namespace kvrecall {

// The fields of v1::ServerStatus by name, in its order and units;
// `oldest_run_time` as "2026-01-31T12:00:00Z" and `keep_days`, or null.
nlohmann::ordered_json StatusToJson(const v1::ServerStatus& status);

}  // namespace kvrecall
