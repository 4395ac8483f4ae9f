#pragma once

// The catalog of policies as text for people: at most 100 columns. Thread-safe:
// no shared state.

#include <string>

namespace kvrecall {

// Each policy with what it holds, its parameters (default, range) and its
// source, then the triggers with an example. Ends with a line feed.
std::string RenderCatalog();

}  // namespace kvrecall
