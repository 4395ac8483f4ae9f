#include "client/plot/script.h"

#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"

#include "common/record/policy_spec.h"

namespace kvrecall {

const char* LineColour(size_t n) {
  static constexpr const char* kColours[] = {"#0072b2", "#d55e00", "#009e73",
                                             "#cc79a7", "#e69f00", "#56b4e9",
                                             "#000000", "#8a7a00"};
  return kColours[n % std::size(kColours)];
}

int PointType(size_t n) {
  // Filled circle, triangle, square, diamond, then the open ones.
  static constexpr int kTypes[] = {7, 9, 5, 13, 6, 8, 4, 12};
  return kTypes[n % std::size(kTypes)];
}

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      quoted.push_back('\'');
    else
      quoted.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
  quoted.push_back('"');
  return quoted;
}

std::string Number(double value) {
  return std::isfinite(value) ? NumberText(value) : "NaN";
}

std::string DataBlock(std::string_view name,
                      const std::vector<std::string>& rows) {
  std::string block = absl::StrCat("$", std::string(name), " << EOD\n");
  for (const std::string& row : rows) absl::StrAppend(&block, row, "\n");
  absl::StrAppend(&block, "EOD\n");
  return block;
}

std::string ScriptHead(std::string_view title, std::string_view below) {
  return absl::StrCat(
      // No text of a run is markup.
      "set termoption noenhanced\n"
      "set encoding utf8\n"
      "set title ",
      Quoted(title), ".\"\\n\".", Quoted(below),
      "\n"
      "set border 3 lc rgb '#555555'\n"
      "set tics nomirror out\n"
      "set grid ytics lc rgb '#e0e0e0' lt 1\n"
      "set style fill transparent solid 0.18 noborder\n"
      "set key outside right top vertical Left reverse\n");
}

}  // namespace kvrecall
