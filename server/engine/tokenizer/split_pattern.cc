#include "server/engine/tokenizer/split_pattern.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "common/base/one_line.h"
#include "common/base/status_macros.h"
#include "server/engine/tokenizer/unicode_16.h"

namespace kvrecall {
namespace {

// Unicode's White_Space, spelled out: PCRE2's `\s` also takes U+180E.
constexpr char kSpaces[] =
    "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}"
    "\\x{202F}\\x{205F}\\x{3000}";

constexpr std::array<std::string_view, 16> kProperties = {
    "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn",
    "Mc", "Me", "N",  "Nd", "Nl", "No", "P", "S"};

// What may follow "(?".
constexpr std::array<std::string_view, 7> kGroups = {":",  "i:", "!", "=",
                                                     "<=", "<!", ">"};

class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}

  absl::StatusOr<std::string> Run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        RETURN_IF_ERROR(Escape());
      } else if (in_class_) {
        RETURN_IF_ERROR(InClass(c));
      } else {
        RETURN_IF_ERROR(Outside(c));
      }
    }
    return std::move(out_);
  }

 private:
  std::string_view Rest() const { return pattern_.substr(at_); }

  void Copy(size_t n) {
    out_.append(pattern_.substr(at_, n));
    at_ += n;
  }

  absl::Status Refuse(std::string_view construct) const {
    return absl::UnimplementedError(absl::StrCat(
        "the split pattern has '", OneLine(construct), "' at offset ", at_,
        ", which is not supported: ", OneLine(pattern_)));
  }

  // Puts a set of characters where the pattern has an escape.
  absl::Status Set(const std::string& members, bool negated, size_t length) {
    if (in_class_ && negated)
      return Refuse(
          absl::StrCat(std::string(pattern_.substr(at_, length)), " in [ ]"));
    if (in_class_)
      out_ += members;
    else
      absl::StrAppend(&out_, negated ? "[^" : "[", members, "]");
    at_ += length;
    return absl::OkStatus();
  }

  static std::string Property(std::string_view name) {
    std::string members =
        absl::StrCat("\\p{", absl::string_view(name.data(), name.size()), "}");
    for (const CategoryRange& range : AddedAfterUnicode14()) {
      if (range.category.substr(0, name.size()) != name) continue;
      absl::StrAppendFormat(&members, "\\x{%X}-\\x{%X}",
                            static_cast<unsigned>(range.first),
                            static_cast<unsigned>(range.last));
    }
    return members;
  }

  absl::Status NamedProperty(bool negated) {
    const size_t close = Rest().find('}');
    if (Rest().substr(2, 1) != "{" || close == std::string_view::npos)
      return Refuse(Rest().substr(0, 3));
    const std::string_view name = Rest().substr(3, close - 3);
    if (std::find(kProperties.begin(), kProperties.end(), name) ==
        kProperties.end())
      return Refuse(Rest().substr(0, close + 1));
    return Set(Property(name), negated, close + 1);
  }

  absl::Status Escape() {
    const char c = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    switch (c) {
      case 's':
      case 'S':
        return Set(kSpaces, c == 'S', 2);
      case 'd':
      case 'D':
        return Set(Property("Nd"), c == 'D', 2);
      case 'p':
      case 'P':
        return NamedProperty(c == 'P');
      case 'v':  // the character only; to PCRE2 all vertical spaces
        out_ += "\\x0B";
        at_ += 2;
        return absl::OkStatus();
      case 'r':
      case 'n':
      case 't':
      case 'f':
        Copy(2);
        return absl::OkStatus();
      default:
        if (std::ispunct(static_cast<unsigned char>(c)) == 0)
          return Refuse(Rest().substr(0, 2));
        Copy(2);
        return absl::OkStatus();
    }
  }

  absl::Status InClass(char c) {
    if (c == '[') return Refuse("[ in [ ]");
    if (Rest().substr(0, 2) == "&&") return Refuse("&& in [ ]");
    if (c == ']') in_class_ = false;
    Copy(1);
    return absl::OkStatus();
  }

  absl::Status OpenClass() {
    Copy(Rest().substr(1, 1) == "^" ? 2 : 1);
    if (Rest().substr(0, 1) == "]") return Refuse("] first in [ ]");
    in_class_ = true;
    return absl::OkStatus();
  }

  absl::Status Group() {
    // Of PCRE2, "(*ACCEPT)" and its like; Oniguruma has others.
    if (Rest().substr(1, 1) == "*") return Refuse(Rest().substr(0, 2));
    if (Rest().substr(1, 1) != "?") {
      Copy(1);
      return absl::OkStatus();
    }
    for (const std::string_view group : kGroups) {
      if (Rest().substr(2, group.size()) != group) continue;
      Copy(2 + group.size());
      return absl::OkStatus();
    }
    return Refuse(Rest().substr(0, 3));
  }

  // {n}, {n,} and {n,m}, which both read alike unless a + follows.
  absl::Status Interval() {
    size_t end = 1;
    int commas = 0;
    const std::string_view rest = Rest();
    while (end < rest.size() &&
           (std::isdigit(static_cast<unsigned char>(rest[end])) != 0 ||
            (rest[end] == ',' && end > 1 && ++commas == 1)))
      ++end;
    if (end == 1 || rest.substr(end, 1) != "}" ||
        rest.substr(end + 1, 1) == "+")
      return Refuse(rest.substr(0, end + 2));
    Copy(end + 1);
    return absl::OkStatus();
  }

  absl::Status Outside(char c) {
    switch (c) {
      case '[':
        return OpenClass();
      case '(':
        return Group();
      case '{':
        return Interval();
      case '^':
      case '$':
        return Refuse(std::string_view(&c, 1));
      default:
        Copy(1);
        return absl::OkStatus();
    }
  }

  std::string_view pattern_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

absl::StatusOr<std::string> OnigurumaToPcre2(std::string_view pattern) {
  return Translator(pattern).Run();
}

}  // namespace kvrecall
