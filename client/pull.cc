#include "client/pull.h"

#include <memory>

#include "absl/strings/str_cat.h"

#include "client/whole_file.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"

namespace kvrecall {

absl::Status PullRun(const Connection& connection, const std::string& run_id,
                     const std::string& path, bool overwrite,
                     const std::function<void(int64_t)>& progress) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WholeFile> file,
                   WholeFile::Create(path, overwrite));
  Sha256 digest;
  int64_t size = 0;
  ASSIGN_OR_RETURN(const ExportedFile sent,
                   connection.ExportRun(run_id, [&](const std::string& bytes) {
                     file->stream() << bytes;
                     digest.Add(bytes);
                     size += static_cast<int64_t>(bytes.size());
                     progress(size);
                     return file->Check();
                   }));
  if (size != sent.size || digest.HexDigest() != sent.digest)
    return absl::DataLossError(
        absl::StrCat("what came is not what the server sent (", size, " of ",
                     sent.size, " bytes); try again"));
  return file->Commit();
}

}  // namespace kvrecall
