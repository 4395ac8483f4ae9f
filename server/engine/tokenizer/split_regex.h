#pragma once

// A split pattern, compiled. Immutable after Compile, so any number of threads
// may call Split at once.

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

struct pcre2_real_code_8;

namespace kvrecall {

class SplitRegex {
 public:
  // `pattern` is in Oniguruma's syntax. Unimplemented: it has a construct that
  // split_pattern.h refuses. InvalidArgument: it is no regular expression, or
  // it matches the empty string.
  static absl::StatusOr<SplitRegex> Compile(std::string_view pattern);

  SplitRegex(SplitRegex&&) noexcept;
  SplitRegex& operator=(SplitRegex&&) noexcept;
  ~SplitRegex();

  // Appends the matches and the stretches between them, in order; together
  // they are `text`, which is valid UTF-8. The pieces are views of it.
  void Split(std::string_view text,
             std::vector<std::string_view>& pieces) const;

 private:
  struct Deleter {
    void operator()(pcre2_real_code_8* code) const;
  };
  explicit SplitRegex(pcre2_real_code_8* code);

  std::unique_ptr<pcre2_real_code_8, Deleter> code_;
};

}  // namespace kvrecall
