// Follows a run as the client does, through servers that die, and writes a line
// for every event that it is given: "sequence digest". Nothing is left out: an
// event that comes twice stands there twice.
//
// Usage: watch_log ADDRESS RUN FILE

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "grpcpp/grpcpp.h"

#include "common/base/digest.h"
#include "kvrecall/v1/run_service.grpc.pb.h"

namespace kvrecall {
namespace {

std::string DigestOf(const v1::Event& event) {
  return Sha256Hex(event.SerializeAsString()).substr(0, 16);
}

int Main(const std::string& address, const std::string& run_id,
         const std::string& path) {
  std::ofstream log(path);
  int64_t last = 0;
  bool ended = false;
  int streams = 0;
  while (!ended) {
    // A channel of its own for each try, so that none waits for the back-off of
    // the one before.
    auto stub = v1::RunService::NewStub(
        grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    v1::WatchRunRequest request;
    request.set_run_id(run_id);
    request.set_after_sequence(last);
    const auto stream = stub->WatchRun(&context, request);
    ++streams;
    for (v1::WatchRunResponse response; stream->Read(&response);) {
      for (const v1::Event& event : response.events()) {
        log << event.sequence() << " " << DigestOf(event) << "\n";
        last = event.sequence();
        ended |= event.has_run_finished();
      }
      log.flush();
    }
    const grpc::Status status = stream->Finish();
    // As the client does: a server that stops cancels what does not end.
    if (status.ok() || status.error_code() == grpc::StatusCode::UNAVAILABLE ||
        status.error_code() == grpc::StatusCode::CANCELLED) {
      if (!ended) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      continue;
    }
    std::fprintf(stderr, "watch_log: %d: %s\n",
                 static_cast<int>(status.error_code()),
                 status.error_message().c_str());
    return 1;
  }
  std::printf("%d\n", streams);
  return 0;
}

}  // namespace
}  // namespace kvrecall

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s ADDRESS RUN FILE\n", argv[0]);
    return 2;
  }
  return kvrecall::Main(argv[1], argv[2], argv[3]);
}
