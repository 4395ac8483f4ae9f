#pragma once

// Numbers of JSON that was not written here. Pure; thread-safe.

#include <cstdint>

#include "nlohmann/json.hpp"

namespace kvrecall {

// A whole number. Throws as the library does, of a number with a fraction or an
// exponent too: its own conversion has no defined result for 1e300.
template <typename Json>
int64_t WholeFrom(const Json& value) {
  if (!value.is_number_integer())
    throw Json::type_error::create(302, "a number must be whole", &value);
  return value.template get<int64_t>();
}

}  // namespace kvrecall
