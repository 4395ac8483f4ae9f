#pragma once

// Aligned columns of text. Plain value; not thread-safe.

#include <string>
#include <string_view>
#include <vector>

namespace kvrecall {

// Terminal columns that UTF-8 text takes, one per code point: right for the
// text that the client writes itself (no wide or combining characters).
int DisplayWidth(std::string_view text);

class TextTable {
 public:
  enum class Align { kLeft, kRight };

  // One name and alignment per column.
  struct Column {
    std::string name;
    Align align = Align::kRight;
  };
  explicit TextTable(std::vector<Column> columns);

  // Adds a row; missing cells at its end are empty.
  void AddRow(std::vector<std::string> cells);

  // Header and rows, two spaces between columns, no space at a line's end,
  // each line ended with a line feed.
  std::string ToString() const;

  // For those that show it otherwise; each row has a cell for each column.
  const std::vector<Column>& columns() const { return columns_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace kvrecall
