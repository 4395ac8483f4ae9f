// Database files: bytes that are one ('f'), or places of a good one that are
// overwritten (anything else): two bytes of offset, one of length, and so many.

#include <string>

#include "common/records_db/schema.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/small_database.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

std::string Damaged(InputBytes bytes) {
  static const std::string whole = SmallDatabase(/*strict=*/true);
  std::string file = whole;
  while (!bytes.empty()) {
    const size_t offset = bytes.Short() % file.size();
    const std::string_view patch = bytes.Text(bytes.Byte());
    file.replace(offset, patch.size(), patch);
  }
  file.resize(whole.size());
  return file;
}

}  // namespace

void FuzzDatabase(std::string_view input) {
  static const ScratchFile file("fuzz_database");
  InputBytes bytes(input);
  file.Write(bytes.Byte() == 'f' ? std::string(bytes.Rest()) : Damaged(bytes));
  ReadEverything(file.path());
  // A server brings an old one to its schema, and refuses a damaged one.
  auto writer = OpenForWriting(
      file.path(), {.synchronous = WriterOptions::Synchronous::kNormal});
  RequireReadable(writer.status());
}

}  // namespace kvrecall
