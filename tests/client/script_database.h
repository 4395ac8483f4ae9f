#pragma once

// A database file with what a scripted server has recorded: what ExportRun of a
// real one would give. Any thread.

#include <string>

#include "tests/client/fake_server.h"

namespace kvrecall {

// What the sample `id` asks in such a file.
std::string QuestionOf(const std::string& id);

// Writes the script's run and its events to `path`, which must not exist.
// Samples are submitted in the order of their first events, and the attempt of
// a sample's last event counts. Failures are the test's.
void WriteDatabase(const FakeScript& script, const std::string& path);

// The bytes of such a file.
std::string DatabaseBytes(const FakeScript& script);

}  // namespace kvrecall
