#include "client/commands/tokenize.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "client/connection.h"
#include "client/read_text.h"
#include "client/render/text_table.h"
#include "common/base/status_macros.h"

namespace kvrecall {
namespace {

struct TokenizeOptions {
  std::string file;
  bool json = false;
};

absl::StatusOr<int> Tokenize(const TokenizeOptions& options,
                             const CommandContext& context) {
  ASSIGN_OR_RETURN(const std::string text,
                   ReadTextFrom(options.file, *context.environment.in));
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  ASSIGN_OR_RETURN(const v1::TokenizeResponse tokens,
                   connection.Tokenize(text));
  nlohmann::ordered_json json;
  json["count"] = tokens.token_ids_size();
  json["token_ids"] = std::vector<int64_t>(tokens.token_ids().begin(),
                                           tokens.token_ids().end());
  json["tokens"] =
      std::vector<std::string>(tokens.tokens().begin(), tokens.tokens().end());
  if (options.json) {
    *context.environment.out << json.dump() << std::endl;
    return kExitOk;
  }
  using Align = TextTable::Align;
  TextTable table({{"position"}, {"id"}, {"token", Align::kLeft}});
  for (int i = 0; i < tokens.token_ids_size(); ++i)
    // Quoted, so that spaces and line feeds are seen.
    table.AddRow({absl::StrCat(i), absl::StrCat(tokens.token_ids(i)),
                  json["tokens"][static_cast<size_t>(i)].dump()});
  *context.environment.out << table.ToString() << tokens.token_ids_size()
                           << " tokens" << std::endl;
  return kExitOk;
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, CommandContext& context) {
  auto options = std::make_shared<TokenizeOptions>();
  CLI::App* command = app.add_subcommand(
      "tokenize", "Show a text as the server's model reads it");
  command->add_option("file", options->file, "Text, or - for standard input")
      ->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return Tokenize(*options, context); };
  });
}

}  // namespace kvrecall
