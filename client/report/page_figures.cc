#include "client/report/page_figures.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/plot/gnuplot.h"
#include "client/report/html.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

namespace fs = std::filesystem;

// A folder that goes with this.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    path_ =
        (fs::temp_directory_path(error) / "kvrecall-report-XXXXXX").string();
    if (::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }  // empty: there is none

 private:
  std::string path_;
};

class Figures {
 public:
  explicit Figures(const PlotData& data) : figures_(AllFigures(data)) {}

  absl::Status Draw() {
    if (folder_.path().empty())
      return absl::ResourceExhaustedError(
          "cannot make a temporary folder for the figures: is the disk full?");
    drawn_.resize(figures_.size());
    {
      std::vector<std::jthread> threads;
      for (size_t i = 0; i < figures_.size(); ++i)
        threads.emplace_back([this, i] { drawn_[i] = DrawOne(figures_[i]); });
    }
    for (const absl::Status& status : drawn_) RETURN_IF_ERROR(status);
    return absl::OkStatus();
  }

  std::string Html() const {
    std::string html = "<div class=\"figures\">\n";
    for (const NamedFigure& named : figures_) {
      const bool first = &named == &figures_.front();
      absl::StrAppend(&html, first ? "<figure class=\"wide\">" : "<figure>");
      if (named.figure.ok()) {
        html += HtmlImage(Read(named), Type(named), named.figure->title);
      } else {
        absl::StrAppend(
            &html, "<p class=\"soft\">", named.name, " is not drawn: ",
            HtmlText(std::string(named.figure.status().message())), "</p>\n");
      }
      html += "</figure>\n";
    }
    return html + "</div>\n";
  }

 private:
  // Thousands of points are smaller as an image.
  static ImageFormat FormatOf(const NamedFigure& named) {
    return named.name == "scatter" || named.name == "recall_by_layer"
               ? ImageFormat::kPng
               : ImageFormat::kSvg;
  }
  static std::string Type(const NamedFigure& named) {
    return FormatOf(named) == ImageFormat::kPng ? "image/png" : "image/svg+xml";
  }
  std::string PathOf(const NamedFigure& named) const {
    return absl::StrCat(folder_.path(), "/", named.name);
  }
  absl::Status DrawOne(const NamedFigure& named) const {
    if (!named.figure.ok()) return absl::OkStatus();
    return DrawFigure(*named.figure, FormatOf(named), PathOf(named));
  }
  std::string Read(const NamedFigure& named) const {
    std::ifstream file(PathOf(named), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const TemporaryFolder folder_;
  const std::vector<NamedFigure> figures_;
  std::vector<absl::Status> drawn_;
};

}  // namespace

absl::StatusOr<std::string> DrawPageFigures(const PlotData& data) {
  Figures figures(data);
  RETURN_IF_ERROR(figures.Draw());
  return figures.Html();
}

}  // namespace kvrecall
