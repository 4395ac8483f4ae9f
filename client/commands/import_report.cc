#include "client/commands/import_report.h"

#include "client/data.h"
#include "client/data/import.h"
#include "client/render/data_text.h"
#include "common/base/status_macros.h"

namespace kvrecall {

std::string TargetFolder(const std::string& data,
                         const CommandContext& context) {
  return data.empty() ? DataFolders(context.environment).front() : data;
}

absl::Status ImportAndReport(const std::vector<std::string>& paths,
                             const std::string& folder, bool replace,
                             const CommandContext& context) {
  const ImportOptions options{
      .folder = folder, .replace = replace, .cancelled = [&context] {
        return context.interrupt.requested();
      }};
  ASSIGN_OR_RETURN(const ImportResult result, ImportData(paths, options));
  *context.environment.out << RenderImport(result, folder) << std::flush;
  const std::string skipped = RenderSkipped(result.skipped);
  if (!skipped.empty()) *context.environment.err << skipped << std::endl;
  return absl::OkStatus();
}

}  // namespace kvrecall
