#include "common/records_db/lost_json.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/one_line.h"
#include "common/record/json_number.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

// The library would write a float with a double's seventeen digits.
void AppendNumber(std::string& text, float value) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// Stands in JSON as it is; most tokens do.
bool IsPlain(char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; }

void AppendText(std::string& text, const std::string& value) {
  if (std::all_of(value.begin(), value.end(), IsPlain)) {
    absl::StrAppend(&text, "\"", value, "\"");
    return;
  }
  text += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Reads what LostToJson writes of plain tokens, without a tree of values: each
// recall of each record on its way to each stream is read.
class PlainList {
 public:
  explicit PlainList(std::string_view text)
      : at_(text.data()), end_(text.data() + text.size()) {}

  // Nothing: not of this form; the library says what it is.
  std::optional<std::vector<LostPosition>> Read() {
    std::vector<LostPosition> lost;
    if (!Take('[')) return std::nullopt;
    do {
      LostPosition& position = lost.emplace_back();
      if (!Take('[') || !Number(position.position) || !Take(',') ||
          !Number(position.weight) || !Take(',') || !Text(position.token) ||
          !Take(']'))
        return std::nullopt;
    } while (Take(','));
    if (!Take(']') || at_ != end_) return std::nullopt;
    return lost;
  }

 private:
  bool Take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  template <typename T>
  bool Number(T& value) {
    // JSON has neither "inf" nor "01", which from_chars would take.
    if (at_ == end_ || *at_ < '0' || *at_ > '9') return false;
    if (*at_ == '0' && end_ - at_ > 1 && at_[1] >= '0' && at_[1] <= '9')
      return false;
    const auto [after, error] = std::from_chars(at_, end_, value);
    at_ = after;
    return error == std::errc();
  }

  bool Text(std::string& value) {
    if (!Take('"')) return false;
    const char* const begin = at_;
    at_ = std::find_if_not(at_, end_, IsPlain);
    value.assign(begin, at_);
    return Take('"');
  }

  const char* at_;
  const char* const end_;
};

}  // namespace

std::string LostToJson(const std::vector<LostPosition>& lost) {
  std::string text = "[";
  for (const LostPosition& position : lost) {
    if (text.size() > 1) text += ',';
    absl::StrAppend(&text, "[", position.position, ",");
    AppendNumber(text, position.weight);
    text += ',';
    AppendText(text, position.token);
    text += ']';
  }
  return text + "]";
}

absl::StatusOr<std::vector<LostPosition>> LostFromJson(std::string_view text) {
  if (auto plain = PlainList(text).Read()) return *std::move(plain);
  std::vector<LostPosition> lost;
  try {
    for (const Json& entry : Json::parse(text)) {
      lost.push_back({WholeFrom(entry.at(0)),
                      static_cast<float>(entry.at(1).get<double>()),
                      entry.at(2).get<std::string>()});
    }
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("list of lost positions: ", OneLine(error.what())));
  }
  return lost;
}

}  // namespace kvrecall
