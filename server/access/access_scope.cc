#include "server/access/access_scope.h"

#include <utility>

namespace kvrecall {
namespace {

constexpr std::pair<std::string_view, AccessScope> kScopes[] = {
    {"read", AccessScope::kRead},
    {"submit", AccessScope::kSubmit},
    {"admin", AccessScope::kAdmin},
};

constexpr std::pair<std::string_view, AccessScope> kMethods[] = {
    {"GetModel", AccessScope::kRead},
    {"GetServerInfo", AccessScope::kRead},
    {"Tokenize", AccessScope::kRead},
    {"GetRun", AccessScope::kRead},
    {"ListRuns", AccessScope::kRead},
    {"ListRecords", AccessScope::kRead},
    {"WatchRun", AccessScope::kRead},
    {"ExportRun", AccessScope::kRead},
    {"CreateRun", AccessScope::kSubmit},
    {"SubmitSamples", AccessScope::kSubmit},
    {"CancelRun", AccessScope::kSubmit},
    {"GetStatus", AccessScope::kAdmin},
    {"DeleteRun", AccessScope::kAdmin},
    {"Backup", AccessScope::kAdmin},
    {"Checkpoint", AccessScope::kAdmin},
    {"Drain", AccessScope::kAdmin},
};

}  // namespace

std::string_view AccessScopeName(AccessScope scope) {
  for (const auto& [name, known] : kScopes)
    if (known == scope) return name;
  return "";
}

std::optional<AccessScope> AccessScopeOf(std::string_view name) {
  for (const auto& [known, scope] : kScopes)
    if (known == name) return scope;
  return std::nullopt;
}

AccessScope ScopeNeededFor(std::string_view method) {
  for (const auto& [name, scope] : kMethods)
    if (name == method) return scope;
  return AccessScope::kAdmin;
}

}  // namespace kvrecall
