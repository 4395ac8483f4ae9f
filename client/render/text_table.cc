#include "client/render/text_table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace kvrecall {

int DisplayWidth(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

TextTable::TextTable(std::vector<Column> columns)
    : columns_(std::move(columns)) {}

void TextTable::AddRow(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::ToString() const {
  std::vector<std::string> header;
  std::vector<int> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    header.push_back(columns_[c].name);
    int width = DisplayWidth(columns_[c].name);
    for (const auto& row : rows_) width = std::max(width, DisplayWidth(row[c]));
    widths.push_back(width);
  }
  std::string out;
  const auto append = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const std::string pad(widths[c] - DisplayWidth(cells[c]), ' ');
      if (c > 0) line += "  ";
      line +=
          columns_[c].align == Align::kLeft ? cells[c] + pad : pad + cells[c];
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  append(header);
  for (const auto& row : rows_) append(row);
  return out;
}

}  // namespace kvrecall
