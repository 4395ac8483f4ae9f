#include "server/engine/tokenizer/split_regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <cstdint>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include <pcre2.h>

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "server/engine/tokenizer/split_pattern.h"

namespace kvrecall {
namespace {

template <typename T, void (*Free)(T*)>
struct FreeWith {
  void operator()(T* pointer) const { Free(pointer); }
};
using MatchData =
    std::unique_ptr<pcre2_match_data,
                    FreeWith<pcre2_match_data, pcre2_match_data_free>>;
using MatchContext =
    std::unique_ptr<pcre2_match_context,
                    FreeWith<pcre2_match_context, pcre2_match_context_free>>;
using CompileContext = std::unique_ptr<
    pcre2_compile_context,
    FreeWith<pcre2_compile_context, pcre2_compile_context_free>>;

// Null means that memory ran out; the standard library would throw, too.
template <typename Pointer>
Pointer Checked(Pointer pointer) {
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

// Without limits: a pattern that backtracks far is slow, not cut short.
MatchContext UnlimitedContext() {
  MatchContext context(Checked(pcre2_match_context_create(nullptr)));
  constexpr uint32_t kUnlimited = std::numeric_limits<uint32_t>::max();
  pcre2_set_match_limit(context.get(), kUnlimited);
  pcre2_set_depth_limit(context.get(), kUnlimited);
  pcre2_set_heap_limit(context.get(), kUnlimited);
  return context;
}

}  // namespace

SplitRegex::SplitRegex(pcre2_real_code_8* code) : code_(code) {}
SplitRegex::SplitRegex(SplitRegex&&) noexcept = default;
SplitRegex& SplitRegex::operator=(SplitRegex&&) noexcept = default;
SplitRegex::~SplitRegex() = default;

void SplitRegex::Deleter::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

absl::StatusOr<SplitRegex> SplitRegex::Compile(std::string_view pattern) {
  ASSIGN_OR_RETURN(const std::string translated, OnigurumaToPcre2(pattern));
  CompileContext context(Checked(pcre2_compile_context_create(nullptr)));
  // `.` stops at a line feed only, as in Oniguruma.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  SplitRegex regex(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
      PCRE2_UTF | PCRE2_UCP, &error, &offset, context.get()));
  if (regex.code_ == nullptr) {
    char message[256];
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message),
                            sizeof(message));
    return absl::InvalidArgumentError(absl::StrCat(
        "the split pattern is not valid: ", message, ": ", OneLine(pattern)));
  }
  uint32_t matches_empty = 0;
  pcre2_pattern_info(regex.code_.get(), PCRE2_INFO_MATCHEMPTY, &matches_empty);
  if (matches_empty != 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "the split pattern may match the empty string: ", OneLine(pattern)));
  // Without a JIT the interpreter does the same, more slowly.
  pcre2_jit_compile(regex.code_.get(), PCRE2_JIT_COMPLETE);
  return regex;
}

void SplitRegex::Split(std::string_view text,
                       std::vector<std::string_view>& pieces) const {
  const MatchData data(
      Checked(pcre2_match_data_create_from_pattern(code_.get(), nullptr)));
  const MatchContext context = UnlimitedContext();
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t done = 0;
  while (done < text.size()) {
    // A look-behind would see the text before `done`, as in Oniguruma.
    int found = pcre2_match(code_.get(), subject, text.size(), done,
                            PCRE2_NO_UTF_CHECK, data.get(), context.get());
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)  // the interpreter uses the heap
      found = pcre2_match(code_.get(), subject, text.size(), done,
                          PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data.get(),
                          context.get());
    if (found == PCRE2_ERROR_NOMATCH) break;
    // The text is valid and there are no limits: only memory can be missing.
    if (found < 0) throw std::bad_alloc();
    const PCRE2_SIZE* ovector = pcre2_get_ovector_pointer(data.get());
    if (ovector[0] > done)
      pieces.push_back(text.substr(done, ovector[0] - done));
    pieces.push_back(text.substr(ovector[0], ovector[1] - ovector[0]));
    done = ovector[1];
  }
  if (done < text.size()) pieces.push_back(text.substr(done));
}

}  // namespace kvrecall
