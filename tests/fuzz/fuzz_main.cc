// The targets for libFuzzer, chosen by --target=NAME; all other arguments are
// libFuzzer's.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

// libFuzzer's two calls share nothing but what is global.
const FuzzTarget* chosen = nullptr;

void Choose(std::string_view name) {
  for (const FuzzTarget& target : kFuzzTargets)
    if (target.name == name) chosen = &target;
}

[[noreturn]] void ListTargets() {
  std::fprintf(stderr, "--target=NAME is missing; the targets are\n");
  for (const FuzzTarget& target : kFuzzTargets)
    std::fprintf(stderr, "%.*s\n", static_cast<int>(target.name.size()),
                 target.name.data());
  std::exit(2);
}

}  // namespace
}  // namespace kvrecall

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kFlag = "--target=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (argument.substr(0, kFlag.size()) == kFlag)
      kvrecall::Choose(argument.substr(kFlag.size()));
  }
  if (kvrecall::chosen == nullptr) kvrecall::ListTargets();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kvrecall::chosen->run({reinterpret_cast<const char*>(data), size});
  return 0;
}
