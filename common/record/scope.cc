#include "common/record/scope.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"

namespace kvrecall {

std::string_view ScopeName(Scope scope) {
  switch (scope) {
    case Scope::kGlobal:
      return "global";
    case Scope::kLayer:
      return "layer";
    case Scope::kHead:
      return "head";
  }
  return "unknown";
}

absl::StatusOr<Scope> ParseScope(std::string_view text) {
  for (Scope scope : {Scope::kGlobal, Scope::kLayer, Scope::kHead})
    if (text == ScopeName(scope)) return scope;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown scope '", OneLine(text),
                   "'; the scopes are global, layer and head"));
}

absl::StatusOr<std::vector<Scope>> ParseScopes(std::string_view text) {
  std::vector<Scope> scopes;
  for (absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    ASSIGN_OR_RETURN(Scope scope,
                     ParseScope(std::string(absl::StripAsciiWhitespace(part))));
    if (std::find(scopes.begin(), scopes.end(), scope) != scopes.end())
      return absl::InvalidArgumentError(absl::StrCat(
          "scope ", std::string(ScopeName(scope)), " is given twice"));
    scopes.push_back(scope);
  }
  return scopes;
}

}  // namespace kvrecall
