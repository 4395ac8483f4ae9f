#pragma once

// Early return on an error status, in the absl::Status idiom.

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KVR_CONCAT_INNER(a, b) a##b
#define KVR_CONCAT(a, b) KVR_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expr` is not OK.
#define RETURN_IF_ERROR(expr)                                                  \
  do {                                                                         \
    if (absl::Status kvr_status = (expr); !kvr_status.ok()) return kvr_status; \
  } while (false)

// ASSIGN_OR_RETURN(auto value, StatusOrExpression());
#define ASSIGN_OR_RETURN(lhs, expr) \
  KVR_ASSIGN_OR_RETURN_IMPL(KVR_CONCAT(kvr_statusor_, __LINE__), lhs, expr)
#define KVR_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                              \
  if (!tmp.ok()) return tmp.status();             \
  lhs = std::move(tmp).value()
