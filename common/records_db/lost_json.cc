#include "common/records_db/lost_json.h"

#include <charconv>
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

void AppendText(std::string& text, const std::string& value) {
  text += Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

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
