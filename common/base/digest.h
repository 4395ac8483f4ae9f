#pragma once

// SHA-256 digests, for keys and provenance. Thread-safe: no shared state.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace kvrecall {

// Incremental SHA-256. Fields that are to be kept apart go through AddField,
// which writes the length first, so that ("ab","c") and ("a","bc") differ.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Add(std::string_view bytes);
  void AddField(std::string_view bytes);
  // Opens a field of `size` bytes, which calls of Add then fill.
  void BeginField(uint64_t size);

  // Lower-case hexadecimal, 64 characters. Call once, last.
  std::string HexDigest();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

// The digest of one string.
std::string Sha256Hex(std::string_view bytes);

}  // namespace kvrecall
