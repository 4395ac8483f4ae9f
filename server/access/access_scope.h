#pragma once

// What a caller may do. Pure; thread-safe.

#include <optional>
#include <string_view>

namespace kvrecall {

// Each includes those before it.
enum class AccessScope {
  kRead,    // look at runs, records and the model
  kSubmit,  // make runs, and submit to and cancel one's own
  kAdmin,   // anyone's runs, and the server itself
};

// "read", "submit", "admin".
std::string_view AccessScopeName(AccessScope scope);
std::optional<AccessScope> AccessScopeOf(std::string_view name);

// What a caller of an RPC must have, by the RPC's name without its service
// ("GetRun"). One that is not listed needs admin.
AccessScope ScopeNeededFor(std::string_view method);

}  // namespace kvrecall
