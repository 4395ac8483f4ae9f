#include "client/report/html.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace kvrecall {
namespace {

std::string Cell(const char* element, const TextTable::Column& column,
                 std::string_view text) {
  const bool left = column.align == TextTable::Align::kLeft;
  return absl::StrCat("<", element, left ? " class=\"left\">" : ">",
                      HtmlText(text), "</", element, ">");
}

}  // namespace

std::string HtmlText(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? ' ' : c;
    }
  }
  return safe;
}

std::string HtmlTable(std::string_view title, const TextTable& table) {
  constexpr size_t kMostOpen = 24;  // rows
  const bool folded = table.rows().size() > kMostOpen;
  std::string html = absl::StrCat("<h3>", HtmlText(title), "</h3>\n");
  if (folded)
    absl::StrAppend(&html, "<details><summary>", table.rows().size(),
                    " rows</summary>\n");
  html += "<div class=\"table\"><table><thead><tr>";
  for (const TextTable::Column& column : table.columns())
    html += Cell("th", column, column.name);
  html += "</tr></thead>\n<tbody>";
  for (const auto& row : table.rows()) {
    html += "<tr>";
    for (size_t c = 0; c < row.size(); ++c)
      html += Cell("td", table.columns()[c], row[c]);
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n";
  return folded ? html + "</details>\n" : html;
}

std::string HtmlImage(std::string_view bytes, std::string_view type,
                      std::string_view alternative) {
  return absl::StrCat(
      "<img alt=\"", HtmlText(alternative), "\" src=\"data:", std::string(type),
      ";base64,",
      absl::Base64Escape(absl::string_view(bytes.data(), bytes.size())),
      "\">\n");
}

}  // namespace kvrecall
