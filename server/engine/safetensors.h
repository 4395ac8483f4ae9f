#pragma once

// Read-only view of a Hugging Face checkpoint's weights: one
// `model.safetensors`, or the shards that `model.safetensors.index.json`
// names. Files are memory-mapped, so opening costs no copy and the page cache
// is shared between processes.
//
// Immutable after Open; may be read from any thread. Tensor data stays valid
// as long as the Checkpoint lives, and begins at any address: headers may have
// any length, and so may the tensors before it.
//
// Format: https://github.com/huggingface/safetensors, "Format": 8 bytes
// little-endian header length, a JSON header, the tensors' bytes.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace kvrecall {

// One tensor inside a mapped file.
struct TensorView {
  std::string dtype;           // as written: "BF16", "F32", …
  std::vector<int64_t> shape;  // row-major
  std::span<const std::byte> data;
};

// A file mapped read-only for its lifetime.
class MappedFile {
 public:
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(
      const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  size_t size_;
};

// Gives the memory of these mapped bytes back; reading them again fetches them
// from the file or its cache.
void ReleasePages(std::span<const std::byte> mapped);

// Reads one file's header. The views point into `file`. InvalidArgument says
// what is wrong with it: length, JSON, an entry's fields, offsets outside the
// file, a size that does not fit shape and dtype.
absl::StatusOr<std::map<std::string, TensorView>> ParseSafetensors(
    std::span<const std::byte> file);

// The files that hold the weights in `directory`, as paths: one, or those that
// an index names. Whether these exist is not looked at. NotFound: no weights
// there; the message lists what was looked for. InvalidArgument: a broken
// index, named.
absl::StatusOr<std::vector<std::string>> WeightFiles(
    const std::string& directory);

class Checkpoint {
 public:
  // As WeightFiles; NotFound and InvalidArgument name a file that is missing
  // or broken, too.
  static absl::StatusOr<std::unique_ptr<Checkpoint>> Open(
      const std::string& directory);

  // NotFound names the tensor.
  absl::StatusOr<TensorView> Find(std::string_view name) const;

  // Names in order.
  std::vector<std::string> Names() const;

  // Bytes of all tensors.
  int64_t TotalBytes() const;

  // The mapped files, in order of their names.
  const std::vector<std::unique_ptr<MappedFile>>& files() const {
    return files_;
  }

 private:
  absl::Status AddFile(const std::string& path);

  std::vector<std::unique_ptr<MappedFile>> files_;
  std::map<std::string, TensorView> tensors_;
};

}  // namespace kvrecall
