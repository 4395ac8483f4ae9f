#include "server/engine/model_locator.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

#include "common/base/status_macros.h"
#include "server/engine/safetensors.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::string> LocateNano() {
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

// owner/name[@revision]
struct HubId {
  std::string owner;
  std::string name;
  std::string revision;  // empty: none was given

  std::string Repository() const { return absl::StrCat(owner, "/", name); }
  std::string DownloadCommand() const {
    return absl::StrCat("hf download ", Repository(),
                        revision.empty() ? "" : " --revision ", revision);
  }
};

// The Hub's names; none can leave the cache's folder.
bool IsHubName(const std::string& text) {
  if (text.empty() || text[0] == '.') return false;
  for (const char c : text)
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.')
      return false;
  return true;
}

// Branches may have slashes: refs/pr/1.
bool IsRevision(const std::string& text) {
  const std::vector<std::string> parts = absl::StrSplit(text, '/');
  for (const std::string& part : parts)
    if (!IsHubName(part)) return false;
  return true;
}

std::optional<HubId> ParseHubId(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const size_t at = text.find('@', slash);
  const bool pinned = at != std::string::npos;
  HubId id;
  id.owner = text.substr(0, slash);
  id.name = text.substr(slash + 1, pinned ? at - slash - 1 : at);
  if (pinned) id.revision = text.substr(at + 1);
  if (!IsHubName(id.owner) || !IsHubName(id.name) ||
      (pinned && !IsRevision(id.revision)))
    return std::nullopt;
  return id;
}

// As huggingface_hub orders them; empty if no variable says.
fs::path HubCache(const HubEnvironment& environment) {
  if (!environment.hf_hub_cache.empty()) return environment.hf_hub_cache;
  if (!environment.hf_home.empty())
    return fs::path(environment.hf_home) / "hub";
  if (!environment.xdg_cache_home.empty())
    return fs::path(environment.xdg_cache_home) / "huggingface/hub";
  if (!environment.home.empty())
    return fs::path(environment.home) / ".cache/huggingface/hub";
  return {};
}

// The first file without which the model cannot run, or empty. In the cache
// files are links, which lead nowhere where a download was cut off.
std::string FirstMissing(const fs::path& snapshot) {
  std::vector<std::string> needed = {(snapshot / "config.json").string(),
                                     (snapshot / "tokenizer.json").string()};
  const auto weights = WeightFiles(snapshot.string());
  if (!weights.ok()) return "model.safetensors";
  needed.insert(needed.end(), weights->begin(), weights->end());
  for (const std::string& path : needed)
    if (!fs::is_regular_file(path)) return fs::path(path).filename().string();
  return "";
}

// The commit that a branch or tag of the repository stands for; a revision
// that is neither is taken as a commit.
std::string CommitOf(const fs::path& repository, const std::string& revision) {
  std::ifstream ref(repository / "refs" / revision);
  std::string commit;
  std::getline(ref, commit);
  const std::string name(absl::StripAsciiWhitespace(commit));
  return IsHubName(name) ? name : revision;
}

absl::StatusOr<std::string> LocateInCache(const HubId& id,
                                          const HubEnvironment& environment) {
  const fs::path cache = HubCache(environment);
  if (cache.empty())
    return absl::FailedPreconditionError(
        absl::StrCat("no model '", id.Repository(),
                     "': none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and "
                     "HOME says where downloads are; set HF_HUB_CACHE"));
  const fs::path repository =
      cache / absl::StrCat("models--", id.owner, "--", id.name);
  const std::string revision = id.revision.empty() ? "main" : id.revision;
  const fs::path snapshot =
      repository / "snapshots" / CommitOf(repository, revision);
  std::string problem;
  if (!fs::is_directory(repository)) {
    problem = absl::StrCat("neither a directory of that name nor ",
                           repository.string(), " exists");
  } else if (!fs::is_directory(snapshot)) {
    problem = absl::StrCat("there is no revision '", revision, "' in ",
                           repository.string());
  } else {
    const std::string missing = FirstMissing(snapshot);
    if (missing.empty()) return snapshot.string();
    problem = absl::StrCat("there is no ", missing, " in ", snapshot.string());
  }
  return absl::NotFoundError(absl::StrCat("no model '", id.Repository(),
                                          "': ", problem, "; download it with ",
                                          id.DownloadCommand()));
}

// The last part of a path, whether a slash ends it or not.
std::string NameOf(const fs::path& path) {
  return path.has_filename() ? path.filename().string()
                             : path.parent_path().filename().string();
}

}  // namespace

HubEnvironment ReadHubEnvironment() {
  return {Variable("HF_HUB_CACHE"), Variable("HF_HOME"),
          Variable("XDG_CACHE_HOME"), Variable("HOME")};
}

absl::StatusOr<LocatedModel> LocateModel(const std::string& model,
                                         const HubEnvironment& environment) {
  LocatedModel located;
  if (model == "nano") {
    ASSIGN_OR_RETURN(located.directory, LocateNano());
    located.name = model;
    return located;
  }
  const std::optional<HubId> id = ParseHubId(model);
  if (id && !fs::is_directory(model)) {
    ASSIGN_OR_RETURN(located.directory, LocateInCache(*id, environment));
    located.name = id->revision.empty()
                       ? id->name
                       : absl::StrCat(id->name, "@", id->revision);
    return located;
  }
  if (!fs::is_regular_file(fs::path(model) / "config.json"))
    return absl::NotFoundError(absl::StrCat(
        "no model in '", model,
        "': there is no config.json; give a Hugging Face model directory, a "
        "downloaded model as owner/name, or nano for the embedded model"));
  located.directory = model;
  located.name = NameOf(model);
  return located;
}

}  // namespace kvrecall
