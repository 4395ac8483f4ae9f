#pragma once

// Pieces of a page. Pure.

#include <string>
#include <string_view>

#include "client/render/text_table.h"

namespace kvrecall {

// Text as it may stand in an element or a quoted attribute. Control characters
// become spaces; bytes that are not UTF-8 are left for the browser.
std::string HtmlText(std::string_view text);

// <h3> and the table, columns aligned as they are on a terminal. One that would
// fill a screen is folded until it is asked for.
std::string HtmlTable(std::string_view title, const TextTable& table);

// An image inside the page. `type`: "image/svg+xml".
std::string HtmlImage(std::string_view bytes, std::string_view type,
                      std::string_view alternative);

}  // namespace kvrecall
