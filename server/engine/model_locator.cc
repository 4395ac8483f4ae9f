#include "server/engine/model_locator.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace kvrecall {

namespace fs = std::filesystem;

absl::StatusOr<std::string> LocateModel(const std::string& name) {
  if (name != "nano") {
    if (fs::is_regular_file(fs::path(name) / "config.json")) return name;
    return absl::NotFoundError(absl::StrCat(
        "no model in '", name,
        "': there is no config.json; give a Hugging Face model directory, or "
        "nano for the embedded model"));
  }
  std::error_code error;
  const fs::path binary = fs::read_symlink("/proc/self/exe", error);
  const fs::path folder = binary.parent_path();
  std::string looked;
  // An installation, then the build tree: build/PRESET/bin and
  // build/PRESET/tests.
  for (const fs::path& candidate : {folder / "../share/kvrecall/models/nano",
                                    folder / "../../../deploy/models/nano"}) {
    const fs::path path = candidate.lexically_normal();
    if (fs::is_regular_file(path / "config.json")) return path.string();
    absl::StrAppend(&looked, looked.empty() ? "" : " and ", path.string());
  }
  return absl::NotFoundError(
      absl::StrCat("the embedded model nano is not in ", looked));
}

}  // namespace kvrecall
