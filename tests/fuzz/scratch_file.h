#pragma once

// A file of this process for what can only be read from one: in memory where
// the system has a place for that. It is gone at the end, with what SQLite puts
// beside it.

#include <string>
#include <string_view>

namespace kvrecall {

class ScratchFile {
 public:
  explicit ScratchFile(std::string_view name);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  // In place of what it held.
  void Write(std::string_view bytes) const;
  std::string Read() const;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace kvrecall
