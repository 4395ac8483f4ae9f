#pragma once

// What a transaction appended, for those who are told after its commit.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/record/record.h"
#include "common/record/run_config.h"

namespace kvrecall {

// Events that a run got, one after the other.
struct AppendedEvents {
  std::string run;     // its name
  std::string sample;  // its id; empty: RunEnd
  int64_t attempt = 1;
  int64_t first = 0;  // sequence
  // Their bodies; null: nobody kept them.
  std::shared_ptr<const std::vector<Event>> events;
  // The run's, the same object for all events of an attempt: a step has a
  // recall for each of its lanes, and a gap for each of its gap lanes. Null
  // where no engine of this server made them: the store did, or they are an
  // earlier run's.
  std::shared_ptr<const RunConfig> config;
};

}  // namespace kvrecall
