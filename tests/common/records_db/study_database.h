#pragma once

// Database files with parts of a study: what servers leave behind that had some
// of its samples each. A sample's records follow from its name alone, so that
// those of two files are the same.

#include <cstdint>
#include <string>
#include <vector>

#include "common/record/run_info.h"
#include "common/records_db/reader.h"

namespace kvrecall {

struct StudySample {
  std::string id;
  int64_t ordinal = 0;
  SampleState state = SampleState::kDone;
  int64_t attempts = 1;  // what earlier ones left is there too
  bool is_reused = false;
  std::string text = {};      // what is asked; empty: by its id
  std::string computer = {};  // numbers differ from one to another
};

struct StudyRun {
  RunInfo info;  // counts and the last sequence are filled in
  std::vector<StudySample> samples;
};

// Run "run-<name>" of task demo, two policies, two scopes and two gap lanes,
// with samples "s<ordinal>" that are done, made `seconds` after the epoch.
StudyRun MakeStudyRun(const std::string& name,
                      const std::vector<int64_t>& ordinals,
                      int64_t seconds = 1'000);

// Makes `path`, which must not exist. No column of its tables is empty
// everywhere. Failures are the test's.
void WriteStudy(const std::string& path, std::vector<StudyRun> runs);

// The text of each sample's last attempt's records, in the order of the run's
// sequence: "s1: start", "s1: step 1 0.25 …". Failures are the test's.
std::vector<std::string> RecordsOf(const std::string& path,
                                   const std::string& run_id);

}  // namespace kvrecall
