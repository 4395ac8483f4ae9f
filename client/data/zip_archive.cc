#include "client/data/zip_archive.h"

#include <array>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "zip.h"

namespace kvrecall {
namespace {

constexpr size_t kChunkBytes = 1 << 16;

struct CloseFile {
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

std::string OpenReason(int code) {
  if (code == ZIP_ER_NOZIP) {
    return "is no zip archive, or its end is missing";
  }
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  return reason;
}

}  // namespace

void ZipArchive::Discard::operator()(zip* archive) const {
  zip_discard(archive);
}

ZipArchive::ZipArchive(std::string path, zip* archive)
    : path_(std::move(path)), archive_(archive) {}

absl::StatusOr<ZipArchive> ZipArchive::Open(const std::string& path) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (archive == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", OpenReason(code)));
  }
  return ZipArchive(path, archive);
}

absl::StatusOr<std::vector<ZipArchive::Member>> ZipArchive::Members() const {
  std::vector<Member> members;
  const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<zip_uint64_t>(i);
    zip_stat_t stat;
    zip_stat_init(&stat);
    if (zip_stat_index(archive_.get(), index, 0, &stat) != 0 ||
        (stat.valid & ZIP_STAT_NAME) == 0 ||
        (stat.valid & ZIP_STAT_SIZE) == 0 ||
        stat.size > std::numeric_limits<int64_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, ": entry ", i + 1, " of its list is damaged"));
    }
    Member member{stat.name, index, static_cast<int64_t>(stat.size)};
    if (!member.name.ends_with('/')) members.push_back(std::move(member));
  }
  return members;
}

std::string ZipArchive::Shown(const Member& member) const {
  return absl::StrCat(path_, ": ", OneLine(member.name));
}

absl::Status ZipArchive::Error(const Member& member,
                               std::string_view reason) const {
  return absl::InvalidArgumentError(
      absl::StrCat(Shown(member), ": ", std::string(reason)));
}

absl::Status ZipArchive::Read(const Member& member, ByteSink sink) const {
  const std::unique_ptr<zip_file_t, CloseFile> file(
      zip_fopen_index(archive_.get(), member.index, 0));
  if (file == nullptr) return Error(member, zip_strerror(archive_.get()));
  std::array<char, kChunkBytes> chunk;
  int64_t total = 0;
  while (true) {
    const zip_int64_t got = zip_fread(file.get(), chunk.data(), chunk.size());
    if (got < 0) {
      return Error(member,
                   absl::StrCat("is damaged: ", zip_file_strerror(file.get())));
    }
    if (got == 0) break;
    total += got;
    if (total > member.bytes) return Error(member, "is longer than it says");
    RETURN_IF_ERROR(sink({chunk.data(), static_cast<size_t>(got)}));
  }
  if (total < member.bytes) return Error(member, "is shorter than it says");
  return absl::OkStatus();
}

}  // namespace kvrecall
