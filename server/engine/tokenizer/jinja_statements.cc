#include "server/engine/tokenizer/jinja_statements.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct Token {
  bool is_string = false;
  std::string text;
};

bool IsName(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool IsSpace(char c) {
  return std::isspace(static_cast<unsigned char>(c)) != 0;
}

// The string literal at the start of `source`, which is cut off it.
absl::StatusOr<Token> ReadString(std::string_view& source) {
  Token token{true, ""};
  const char quote = source[0];
  for (size_t i = 1; i < source.size(); ++i) {
    if (source[i] == quote) {
      source.remove_prefix(i + 1);
      return token;
    }
    if (source[i] != '\\') {
      token.text += source[i];
      continue;
    }
    const char escaped = ++i < source.size() ? source[i] : '\0';
    switch (escaped) {
      case 'n':
        token.text += '\n';
        break;
      case 't':
        token.text += '\t';
        break;
      case '\\':
      case '\'':
      case '"':
        token.text += escaped;
        break;
      default:
        return absl::InvalidArgumentError(
            absl::StrCat("unknown escape \\", std::string(1, escaped)));
    }
  }
  return absl::InvalidArgumentError("a string is not closed");
}

// The tokens up to `close` ("}}" or "%}", perhaps with a - or + before it),
// which stays in `source`.
absl::StatusOr<std::vector<Token>> ReadTag(std::string_view& source,
                                           std::string_view close) {
  std::vector<Token> tokens;
  while (!source.empty()) {
    const char c = source[0];
    const size_t sign = c == '-' || c == '+' ? 1 : 0;
    if (source.substr(sign, 2) == close) return tokens;
    if (IsSpace(c)) {
      source.remove_prefix(1);
    } else if (c == '"' || c == '\'') {
      ASSIGN_OR_RETURN(Token token, ReadString(source));
      tokens.push_back(std::move(token));
    } else if (IsName(c)) {
      size_t n = 1;
      while (n < source.size() && IsName(source[n])) ++n;
      tokens.push_back({false, std::string(source.substr(0, n))});
      source.remove_prefix(n);
    } else {
      const std::string_view two = source.substr(0, 2);
      const size_t n =
          two == "==" || two == "!=" || two == "<=" || two == ">=" ? 2 : 1;
      tokens.push_back({false, std::string(source.substr(0, n))});
      source.remove_prefix(n);
    }
  }
  return absl::InvalidArgumentError("a tag is not closed");
}

bool Is(const Token& token, std::string_view text) {
  return !token.is_string && token.text == text;
}

// `a.b` is `a['b']` here, as on any mapping or object that templates see.
std::string Canonical(const std::vector<Token>& tokens) {
  std::vector<std::string> words;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (Is(tokens[i], ".") && i + 1 < tokens.size()) {
      absl::StrAppend(&words.emplace_back(), "[ \"", tokens[i + 1].text,
                      "\" ]");
      ++i;
    } else if (tokens[i].is_string) {
      words.push_back(absl::StrCat(
          "\"", absl::StrReplaceAll(tokens[i].text, {{"\"", "\\\""}}), "\""));
    } else {
      words.push_back(tokens[i].text);
    }
  }
  return absl::StrJoin(words, " ");
}

class Reader {
 public:
  explicit Reader(std::string_view source) : rest_(source) {
    // keep_trailing_newline is off.
    if (!rest_.empty() && rest_.back() == '\n') rest_.remove_suffix(1);
  }

  absl::StatusOr<std::vector<JinjaStatement>> Run() {
    while (!rest_.empty()) {
      const size_t open = FindTag();
      std::string text(rest_.substr(0, open));
      rest_.remove_prefix(text.size());
      if (rest_.empty()) {
        Text(text);
        break;
      }
      const char kind = rest_[1];
      const char sign = rest_.size() > 2 ? rest_[2] : '\0';
      TrimBefore(text, kind, sign);
      Text(text);
      rest_.remove_prefix(sign == '-' || sign == '+' ? 3 : 2);
      RETURN_IF_ERROR(Tag(kind));
    }
    return std::move(statements_);
  }

 private:
  size_t FindTag() const {
    return std::min(
        {rest_.find("{{"), rest_.find("{%"), rest_.find("{#"), rest_.size()});
  }

  // lstrip_blocks and the - of an opening tag.
  void TrimBefore(std::string& text, char kind, char sign) {
    if (sign == '-') {
      while (!text.empty() && IsSpace(text.back())) text.pop_back();
      return;
    }
    if (kind == '{' || sign == '+') return;
    const size_t line = text.find_last_not_of(" \t");
    if (line == std::string::npos ? at_line_start_ : text[line] == '\n')
      text.resize(line == std::string::npos ? 0 : line + 1);
  }

  // trim_blocks and the - of a closing tag.
  void TrimAfter(char kind, char sign) {
    at_line_start_ = false;
    if (sign == '-') {
      while (!rest_.empty() && IsSpace(rest_[0])) Skip();
    } else if (kind != '{' && sign != '+' && rest_.substr(0, 1) == "\n") {
      Skip();
    }
  }

  void Skip() {
    at_line_start_ = rest_[0] == '\n';
    rest_.remove_prefix(1);
  }

  absl::Status Tag(char kind) {
    const std::string_view close = kind == '{'   ? "}}"
                                   : kind == '%' ? "%}"
                                                 : "#}";
    if (kind == '#') {
      const size_t end = rest_.find(close);
      if (end == std::string_view::npos)
        return absl::InvalidArgumentError("a comment is not closed");
      rest_.remove_prefix(end > 0 && rest_[end - 1] == '-' ? end - 1 : end);
    } else {
      ASSIGN_OR_RETURN(const auto tokens, ReadTag(rest_, close));
      if (kind == '{')
        Output(tokens);
      else
        Add(JinjaStatement::Kind::kBlock, Canonical(tokens));
    }
    const char sign = rest_[0] == close[0] ? '\0' : rest_[0];
    rest_.remove_prefix(sign == '\0' ? 2 : 3);
    TrimAfter(kind, sign);
    return absl::OkStatus();
  }

  // Operands of + and ~ outside brackets. A filter or any other operator
  // makes the whole one operand: it binds the operands together.
  void Output(const std::vector<Token>& tokens) {
    std::vector<std::vector<Token>> operands(1);
    int depth = 0;
    bool other = false;
    for (const Token& token : tokens) {
      if (Is(token, "(") || Is(token, "[")) ++depth;
      if (Is(token, ")") || Is(token, "]")) --depth;
      if (depth == 0 && (Is(token, "+") || Is(token, "~"))) {
        operands.emplace_back();
        continue;
      }
      other = other || Is(token, "|") || Is(token, "if") || Is(token, "or") ||
              Is(token, "and");
      operands.back().push_back(token);
    }
    if (other) {
      Add(JinjaStatement::Kind::kOutput, Canonical(tokens));
      return;
    }
    for (const auto& operand : operands) {
      if (operand.size() == 1 && operand[0].is_string)
        Text(operand[0].text);
      else
        Add(JinjaStatement::Kind::kOutput, Canonical(operand));
    }
  }

  void Text(const std::string& text) {
    if (text.empty()) return;
    if (!statements_.empty() &&
        statements_.back().kind == JinjaStatement::Kind::kText)
      statements_.back().value += text;
    else
      Add(JinjaStatement::Kind::kText, text);
  }

  void Add(JinjaStatement::Kind kind, std::string value) {
    statements_.push_back({kind, std::move(value)});
  }

  std::string_view rest_;
  bool at_line_start_ = true;  // of `rest_`
  std::vector<JinjaStatement> statements_;
};

}  // namespace

absl::StatusOr<std::vector<JinjaStatement>> ReadJinja(std::string_view source) {
  return Reader(source).Run();
}

}  // namespace kvrecall
