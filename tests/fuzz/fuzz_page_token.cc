// What says where to go on: a page token and, behind 0xFF, a run, a sequence
// and a page's size.

#include <cstdint>
#include <string>

#include "common/records_db/reader.h"
#include "server/service/validate.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/small_database.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

constexpr int kRuns = 2;

RecordsReader& Reader() {
  static const ScratchFile file("fuzz_page_token");
  static const auto reader = [] {
    file.Write(SmallDatabase(/*strict=*/true));
    auto opened = RecordsReader::Open(file.path());
    Require(opened.ok(), "the small database can be read");
    return *std::move(opened);
  }();
  return *reader;
}

// Follows the pages from a token to their end.
void FollowPages(std::string token, int page_size) {
  for (int page = 0; page <= kRuns; ++page) {
    const auto runs = Reader().ListRuns(page_size, token);
    RequireReadable(runs.status());
    if (!runs.ok()) {
      Require(page == 0, "a token that was given is taken");
      return;
    }
    Require(std::ssize(runs->first) <= page_size, "a page has its limit");
    token = runs->second;
    if (token.empty()) return;
    Require(!runs->first.empty(), "a page before another has runs");
  }
  Require(false, "pages end");
}

}  // namespace

void FuzzPageToken(std::string_view input) {
  InputBytes bytes(input);
  const std::string token(bytes.Part());
  const std::string run_id(bytes.Part());
  const int64_t after = bytes.Number();
  const absl::StatusOr<int> size =
      PageSize(static_cast<int32_t>(bytes.Number()), kDefaultRunsPage);
  RequireReadable(size.status());
  if (!size.ok() || !CheckText("page_token", token, 0, 256).ok()) return;
  FollowPages(token, *size);
  if (!CheckRunId(run_id).ok() || !CheckAfterSequence(after).ok()) return;
  const auto events = Reader().ReadAfter(run_id, after, *size);
  RequireReadable(events.status());
  if (!events.ok()) return;
  for (size_t i = 0; i < events->size(); ++i)
    Require((*events)[i].sequence == after + 1 + static_cast<int64_t>(i),
            "events go on behind the cursor");
}

}  // namespace kvrecall
