#pragma once

// A folder of its own for a test, removed at the end.

#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>

namespace kvrecall {

class TempDir {
 public:
  TempDir() {
    std::string name = ::testing::TempDir() + "kvrecall_XXXXXX";
    if (mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temp folder";
    path_ = name;
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace kvrecall
