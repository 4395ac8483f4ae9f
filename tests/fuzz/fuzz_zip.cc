// A zip archive that a user gives for LongBench's.

#include <string>

#include "client/data/zip_archive.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/target.h"

namespace kvrecall {

void FuzzZip(std::string_view input) {
  static const ScratchFile file("fuzz_zip");
  file.Write(input);
  const auto archive = ZipArchive::Open(file.path());
  RequireReadable(archive.status());
  if (!archive.ok()) return;
  const auto members = archive->Members();
  RequireReadable(members.status());
  if (!members.ok()) return;
  for (const ZipArchive::Member& member : *members) {
    RequireOneLine(archive->Shown(member));
    int64_t bytes = 0;
    const absl::Status status =
        archive->Read(member, [&](std::string_view part) {
          bytes += std::ssize(part);
          Require(bytes <= member.bytes, "no more comes than was said");
          return absl::OkStatus();
        });
    RequireReadable(status);
    if (status.ok()) Require(bytes == member.bytes, "a member is whole");
  }
}

}  // namespace kvrecall
