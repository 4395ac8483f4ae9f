#include "client/render/bar.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#include "client/render/text_table.h"

namespace kvrecall {
namespace {

constexpr int kWidestBar = 40;
constexpr int kNarrowestBar = 8;

// As many of the parts as there is room for.
std::string Fitting(int columns, const std::vector<std::string>& parts) {
  std::string text = parts.front();
  for (size_t i = 1; i < parts.size(); ++i) {
    if (DisplayWidth(text) + 2 + DisplayWidth(parts[i]) <= columns) {
      text += "  " + parts[i];
    }
  }
  return text;
}

}  // namespace

std::string ClockText(absl::Duration duration) {
  const int64_t seconds = std::llround(absl::ToDoubleSeconds(duration));
  if (seconds < 3600) {
    return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  }
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60,
                         seconds % 60);
}

std::string EtaText(std::optional<absl::Duration> remaining) {
  return absl::StrCat("ETA ", remaining ? ClockText(*remaining) : "–");
}

std::string DrawBar(int columns, int64_t done, int64_t total,
                    const std::vector<std::string>& parts) {
  const std::string text = Fitting(columns, parts);
  const int width = std::min(columns - DisplayWidth(text) - 3, kWidestBar);
  if (width < kNarrowestBar) {
    return DisplayWidth(text) <= columns ? text : "";
  }
  const int filled = total > 0 ? static_cast<int>(width * done / total) : 0;
  std::string drawn(filled, '=');
  if (filled < width) drawn += '>';
  drawn.resize(width, ' ');
  return absl::StrCat("[", drawn, "] ", text);
}

}  // namespace kvrecall
