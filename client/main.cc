#include <cstdlib>
#include <memory>

#include "client/cli.h"
#include "client/environment.h"
#include "client/interrupt.h"

int main(int argc, char** argv) {
  // gRPC's own log lines would stand between the client's.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  const auto interrupt = std::make_shared<kvrecall::Interrupt>();
  kvrecall::HandleInterrupts(interrupt);
  return kvrecall::RunCli(argc, argv, kvrecall::SystemEnvironment(),
                          *interrupt);
}
