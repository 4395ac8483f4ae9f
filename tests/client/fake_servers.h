#pragma once

// Several scripted servers, among which a study is divided.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/placed_run.h"
#include "tests/client/fake_server.h"

namespace kvrecall {

// As MakeScript, with the run "run-<name>" and samples "<name>1", "<name>2", ….
inline FakeScript MakePart(const std::string& name, int samples, int steps) {
  FakeScript script = MakeScript(samples, steps);
  script.run.run_id = "run-" + name;
  for (Event& event : script.events)
    if (!event.sample_id.empty()) event.sample_id[0] = name[0];
  return script;
}

class FakeServers {
 public:
  void Add(FakeScript script) {
    servers_.push_back(std::make_unique<FakeServer>(std::move(script)));
  }
  FakeServer& at(size_t i) { return *servers_.at(i); }

  // As --server names them.
  std::string addresses() const {
    std::vector<std::string> names;
    for (const auto& server : servers_) names.push_back(server->address());
    return absl::StrJoin(names, ",");
  }
  ServerChoice choice() const {
    ServerChoice choice;
    choice.address = addresses();
    return choice;
  }

 private:
  std::vector<std::unique_ptr<FakeServer>> servers_;
};

}  // namespace kvrecall
