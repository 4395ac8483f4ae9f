#include "tests/fuzz/scratch_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include <unistd.h>

#include "tests/fuzz/check.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

void RemoveWithCompanions(const std::string& path) {
  std::error_code ignored;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"})
    fs::remove(path + suffix, ignored);
}

}  // namespace

ScratchFile::ScratchFile(std::string_view name) {
  const fs::path memory = "/dev/shm";
  const fs::path folder =
      ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
  path_ = folder /
          ("kvrecall_" + std::string(name) + "_" + std::to_string(::getpid()));
}

ScratchFile::~ScratchFile() { RemoveWithCompanions(path_); }

void ScratchFile::Write(std::string_view bytes) const {
  RemoveWithCompanions(path_);
  std::ofstream file(path_, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  Require(file.good(), "there is room for the input");
}

std::string ScratchFile::Read() const {
  std::ifstream file(path_, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace kvrecall
