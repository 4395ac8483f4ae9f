#include "server/engine/safetensors.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// The reference implementation's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

std::optional<int64_t> ElementBytes(std::string_view dtype) {
  static const std::map<std::string_view, int64_t> kSizes = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  const auto it = kSizes.find(dtype);
  if (it == kSizes.end()) return std::nullopt;
  return it->second;
}

absl::Status BadTensor(const std::string& name, const std::string& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tensor '", OneLine(name), "': ", why));
}

// `payload` holds the bytes behind the header.
absl::StatusOr<TensorView> ParseEntry(const std::string& name,
                                      const Json& entry,
                                      std::span<const std::byte> payload) {
  if (!entry.is_object()) return BadTensor(name, "the entry is no object");
  const auto dtype = entry.find("dtype");
  const auto shape = entry.find("shape");
  const auto offsets = entry.find("data_offsets");
  if (dtype == entry.end() || !dtype->is_string())
    return BadTensor(name, "dtype is missing");
  if (shape == entry.end() || !shape->is_array())
    return BadTensor(name, "shape is missing");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned())
    return BadTensor(name, "data_offsets are not two positions");
  TensorView view;
  view.dtype = dtype->get<std::string>();
  const uint64_t begin = (*offsets)[0].get<uint64_t>();
  const uint64_t end = (*offsets)[1].get<uint64_t>();
  if (begin > end || end > payload.size())
    return BadTensor(name, absl::StrCat("data_offsets ", begin, "…", end,
                                        " lie outside the file's ",
                                        payload.size(), " data bytes"));
  const std::optional<int64_t> element = ElementBytes(view.dtype);
  if (!element)
    return BadTensor(name, absl::StrCat("unknown dtype ", OneLine(view.dtype)));
  uint64_t expected = *element;
  for (const Json& dim : *shape) {
    if (!dim.is_number_unsigned())
      return BadTensor(name, "shape is not a list of sizes");
    const uint64_t size = dim.get<uint64_t>();
    // Where another size is 0, no product tells.
    if (size > static_cast<uint64_t>(INT64_MAX) ||
        __builtin_mul_overflow(expected, size, &expected))
      return BadTensor(name, "shape is too large");
    view.shape.push_back(static_cast<int64_t>(size));
  }
  if (expected != end - begin)
    return BadTensor(name, absl::StrCat("shape and dtype need ", expected,
                                        " bytes, the file has ", end - begin));
  view.data = payload.subspan(begin, end - begin);
  return view;
}

// The shard files that an index names, in order.
absl::StatusOr<std::vector<std::string>> ShardNames(const fs::path& index) {
  std::ifstream in(index);
  const Json json = Json::parse(in, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("weight_map") ||
      !json["weight_map"].is_object())
    return absl::InvalidArgumentError(
        absl::StrCat(index.string(), ": no weight_map in it"));
  std::set<std::string> names;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string() ||
        fs::path(file.get<std::string>()).filename() != file.get<std::string>())
      return absl::InvalidArgumentError(
          absl::StrCat(index.string(), ": '", OneLine(tensor),
                       "' does not name a file beside the index"));
    names.insert(file.get<std::string>());
  }
  return std::vector<std::string>(names.begin(), names.end());
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(
    const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  const absl::Cleanup close_fd = [fd] { ::close(fd); };
  struct stat info;
  if (::fstat(fd, &info) != 0)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot stat ", path));
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a file"));
  const size_t size = static_cast<size_t>(info.st_size);
  if (size == 0)
    return absl::InvalidArgumentError(absl::StrCat(path, " is empty"));
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED)
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot map ", path));
  return std::unique_ptr<MappedFile>(
      new MappedFile(static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() { ::munmap(const_cast<std::byte*>(data_), size_); }

void ReleasePages(std::span<const std::byte> mapped) {
  // Whole pages only: the first and the last may hold others' bytes.
  const uintptr_t page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(mapped.data());
  const uintptr_t first = (begin + page - 1) / page * page;
  const uintptr_t last = (begin + mapped.size()) / page * page;
  // A mere hint: nothing is lost where it fails.
  if (first < last)
    ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

absl::StatusOr<std::map<std::string, TensorView>> ParseSafetensors(
    std::span<const std::byte> file) {
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes))
    return absl::InvalidArgumentError("shorter than the 8-byte header length");
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes ||
      header_bytes > file.size() - sizeof(header_bytes))
    return absl::InvalidArgumentError(absl::StrCat(
        "header length ", header_bytes, " exceeds the file; is it complete?"));
  const char* text = reinterpret_cast<const char*>(file.data()) + 8;
  const Json header = Json::parse(text, text + header_bytes, nullptr,
                                  /*allow_exceptions=*/false);
  if (!header.is_object())
    return absl::InvalidArgumentError("the header is not a JSON object");
  const std::span<const std::byte> payload = file.subspan(8 + header_bytes);
  std::map<std::string, TensorView> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    ASSIGN_OR_RETURN(TensorView view, ParseEntry(name, entry, payload));
    tensors.emplace(name, std::move(view));
  }
  return tensors;
}

absl::Status Checkpoint::AddFile(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  auto tensors = ParseSafetensors(file->bytes());
  if (!tensors.ok())
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", tensors.status().message()));
  for (auto& [name, view] : *tensors)
    if (!tensors_.emplace(name, std::move(view)).second)
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": tensor '", OneLine(name), "' is in another shard too"));
  files_.push_back(std::move(file));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> WeightFiles(
    const std::string& directory) {
  const fs::path root(directory);
  const fs::path single = root / "model.safetensors";
  const fs::path index = root / "model.safetensors.index.json";
  if (fs::exists(single)) return std::vector<std::string>{single.string()};
  if (!fs::exists(index))
    return absl::NotFoundError(absl::StrCat(
        "no weights in ", directory,
        ": neither model.safetensors nor model.safetensors.index.json"));
  ASSIGN_OR_RETURN(std::vector<std::string> names, ShardNames(index));
  for (std::string& name : names) name = (root / name).string();
  return names;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(
    const std::string& directory) {
  std::unique_ptr<Checkpoint> checkpoint(new Checkpoint());
  ASSIGN_OR_RETURN(const std::vector<std::string> files,
                   WeightFiles(directory));
  for (const std::string& file : files)
    RETURN_IF_ERROR(checkpoint->AddFile(file));
  return checkpoint;
}

absl::StatusOr<TensorView> Checkpoint::Find(std::string_view name) const {
  const auto it = tensors_.find(std::string(name));
  if (it == tensors_.end())
    return absl::NotFoundError(
        absl::StrCat("the checkpoint has no tensor '", std::string(name), "'"));
  return it->second;
}

std::vector<std::string> Checkpoint::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors_) names.push_back(name);
  return names;
}

int64_t Checkpoint::TotalBytes() const {
  int64_t total = 0;
  for (const auto& [name, view] : tensors_) total += view.data.size();
  return total;
}

}  // namespace kvrecall
