#include "client/render/data_text.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

#include "client/render/text_table.h"
#include "client/render/transfer_progress.h"

namespace kvrecall {
namespace {

using Align = TextTable::Align;
using Change = ImportedFile::Change;

constexpr int kColumns = 80;
constexpr size_t kNamesShown = 5;

// The tasks that share the samples, without the one that has their name.
std::string OtherTasks(const DatasetFile& file) {
  std::vector<std::string> others;
  for (const std::string& task : file.tasks) {
    if (task != file.dataset) others.push_back(task);
  }
  return absl::StrJoin(others, ", ");
}

std::string TableOf(const std::vector<DatasetFile>& files) {
  TextTable table({{"data set", Align::kLeft},
                   {"samples"},
                   {"size"},
                   {"also for", Align::kLeft},
                   {"file", Align::kLeft}});
  for (const DatasetFile& file : files) {
    if (file.path.empty()) continue;
    const bool read = file.problem.empty();
    table.AddRow({file.dataset, read ? absl::StrCat(file.samples) : "–",
                  read ? BytesText(file.bytes) : "–", OtherTasks(file),
                  read ? file.path
                       : absl::StrCat(file.path, " (cannot be read: ",
                                      file.problem, ")")});
  }
  return table.ToString();
}

// The names with commas between, in indented lines.
std::string Paragraph(const std::vector<std::string>& names) {
  const std::string indent(2, ' ');
  std::string text = indent;
  int column = 2;
  for (size_t i = 0; i < names.size(); ++i) {
    const bool last = i + 1 == names.size();
    const std::string word = absl::StrCat(names[i], last ? "" : ",");
    const int width = DisplayWidth(word);
    if (i > 0 && column + 1 + width > kColumns) {
      absl::StrAppend(&text, "\n", indent);
      column = 2;
    } else if (i > 0) {
      absl::StrAppend(&text, " ");
      ++column;
    }
    absl::StrAppend(&text, word);
    column += width;
  }
  return absl::StrCat(text, "\n");
}

const char* ChangeText(Change change) {
  switch (change) {
    case Change::kAdded:
      return "added";
    case Change::kReplaced:
      return "replaced";
    case Change::kAlreadyThere:
      return "already there";
  }
  return "";
}

// "2 added, 1 already there".
std::string Counts(const std::vector<ImportedFile>& files) {
  std::vector<std::string> counts;
  for (const Change change :
       {Change::kAdded, Change::kReplaced, Change::kAlreadyThere}) {
    const auto count = std::count_if(
        files.begin(), files.end(),
        [&](const ImportedFile& f) { return f.change == change; });
    if (count > 0) {
      counts.push_back(absl::StrCat(count, " ", ChangeText(change)));
    }
  }
  return absl::StrJoin(counts, ", ");
}

}  // namespace

std::string RenderInventory(const std::vector<DatasetFile>& files) {
  std::vector<std::string> missing;
  for (const DatasetFile& file : files) {
    if (file.path.empty()) missing.push_back(file.dataset);
  }
  std::string text = missing.size() < files.size() ? TableOf(files) : "";
  if (missing.empty()) return text;
  return absl::StrCat(text, text.empty() ? "" : "\n", missing.size(), " of ",
                      files.size(), " data sets have no file here:\n",
                      Paragraph(missing), std::string(kGetThem), "\n");
}

std::string RenderImport(const ImportResult& result,
                         const std::string& folder) {
  TextTable table(
      {{"data set", Align::kLeft}, {"samples"}, {"size"}, {"", Align::kLeft}});
  for (const ImportedFile& file : result.files) {
    table.AddRow({file.dataset, absl::StrCat(file.samples),
                  BytesText(file.bytes), ChangeText(file.change)});
  }
  return absl::StrCat(table.ToString(), "\n", folder, ": ",
                      Counts(result.files), "\n");
}

std::string RenderSkipped(const std::vector<std::string>& skipped) {
  if (skipped.empty()) return "";
  const size_t shown = std::min(skipped.size(), kNamesShown);
  const std::vector<std::string> first(skipped.begin(),
                                       skipped.begin() + shown);
  return absl::StrCat(
      "skipped, not named after a data set of LongBench: ",
      absl::StrJoin(first, ", "),
      shown < skipped.size()
          ? absl::StrCat(" and ", skipped.size() - shown, " more")
          : "");
}

}  // namespace kvrecall
