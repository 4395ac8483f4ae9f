#pragma once

// LongBench samples as messages of kvrecall.v1 and back, without loss. What a
// server accepts is checked by the service, not here. Thread-safe: no shared
// state.

#include "common/longbench/jsonl.h"
#include "kvrecall/v1/run_service.pb.h"

namespace kvrecall {

v1::Sample ToProto(const Sample& sample);
Sample FromProto(const v1::Sample& message);

}  // namespace kvrecall
