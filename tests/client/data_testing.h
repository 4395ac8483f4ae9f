#pragma once

// What the tests of LongBench's files share.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

#include "zip.h"

namespace kvrecall {

// A folder of the test's own, empty at first and removed at its end.
class FolderTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = absl::StrCat(testing::TempDir(), "kvrecall_",
                           info->test_suite_name(), "_", info->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const {
    return folder_ + "/" + name;
  }

  std::string folder_;
};

// `count` lines of samples; `mark` tells them from others.
inline std::string SampleLines(int count, const std::string& mark = "a") {
  std::string lines;
  for (int i = 1; i <= count; ++i) {
    absl::StrAppend(&lines, R"({"_id":"s)", i, R"(","input":"q","context":")",
                    mark, R"(","answers":["a"]})", "\n");
  }
  return lines;
}

// Makes the folders too.
inline std::string WriteFile(const std::string& path,
                             const std::string& bytes) {
  std::filesystem::create_directories(
      std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The names in a folder, hidden ones included, sorted.
inline std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// An archive of members (name, content), not compressed; a name that ends with
// a slash is a folder.
inline std::string WriteZip(
    const std::string& path,
    const std::vector<std::pair<std::string, std::string>>& members) {
  std::filesystem::remove(path);
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  EXPECT_NE(archive, nullptr);
  for (const auto& [name, content] : members) {
    if (name.ends_with('/')) {
      EXPECT_GE(zip_dir_add(archive, name.c_str(), 0), 0) << name;
      continue;
    }
    // The bytes are read when the archive is closed.
    zip_source_t* source =
        zip_source_buffer(archive, content.data(), content.size(), 0);
    const zip_int64_t index =
        zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
    EXPECT_GE(index, 0) << name;
    zip_set_file_compression(archive, index, ZIP_CM_STORE, 0);
  }
  EXPECT_EQ(zip_close(archive), 0);
  return path;
}

}  // namespace kvrecall
