#pragma once

// Where a model's files are. Thread-safe.

#include <string>

#include "absl/status/statusor.h"

namespace kvrecall {

// The environment variables that say where Hugging Face's tools keep what they
// download; empty where unset.
struct HubEnvironment {
  std::string hf_hub_cache;    // HF_HUB_CACHE
  std::string hf_home;         // HF_HOME
  std::string xdg_cache_home;  // XDG_CACHE_HOME
  std::string home;            // HOME
};

// This process's.
HubEnvironment ReadHubEnvironment();

struct LocatedModel {
  std::string directory;
  // What people call it: "Qwen2.5-7B-Instruct" of
  // "/models/Qwen2.5-7B-Instruct/" and of "Qwen/Qwen2.5-7B-Instruct";
  // "Qwen2.5-7B-Instruct@v1" where a revision was asked for.
  std::string name;
};

// `model` is one of
// - nano: the model that ships with the program, looked for beside the
//   executable's build or installation
// - the path of a Hugging Face model directory
// - owner/name or owner/name@revision: a model of the Hugging Face Hub that
//   lies in the local cache; the revision is a branch, a tag or a commit, main
//   if none is given. Nothing is downloaded.
// NotFound says where was looked, what is missing there, and the command that
// downloads it.
absl::StatusOr<LocatedModel> LocateModel(const std::string& model,
                                         const HubEnvironment& environment);

}  // namespace kvrecall
