#include "client/commands/tasks.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

#include "client/connection.h"
#include "client/data.h"
#include "client/render/data_text.h"
#include "client/render/text_table.h"
#include "common/base/status_macros.h"
#include "common/longbench/task.h"

namespace kvrecall {
namespace {

struct Row {
  std::string name;
  int64_t max_new_tokens;
  bool chat;
};

absl::StatusOr<int> ListTasks(const std::string& data,
                              const CommandContext& context) {
  std::vector<Row> rows;
  ASSIGN_OR_RETURN(const Connection connection, Connect(context.server));
  if (const auto server = connection.GetServerInfo(absl::Seconds(3));
      server.ok()) {
    for (const v1::TaskInfo& task : server->tasks()) {
      rows.push_back({task.name(), task.max_new_tokens(), task.chat()});
    }
  } else {
    *context.environment.err
        << server.status().message()
        << "\nthe tasks that this client knows:" << std::endl;
    for (const Task& task : AllTasks()) {
      rows.push_back({std::string(task.name), task.max_new_tokens, task.chat});
    }
  }
  using Align = TextTable::Align;
  TextTable table({{"task", Align::kLeft},
                   {"max new tokens"},
                   {"chat", Align::kLeft},
                   {"data", Align::kLeft}});
  bool is_missing = false;
  for (const Row& row : rows) {
    const auto file = FindDataFile(row.name, data, context.environment);
    is_missing |= !file.ok() && TakesLongBenchFile(row.name);
    table.AddRow({row.name, absl::StrCat(row.max_new_tokens),
                  row.chat ? "yes" : "no", file.ok() ? *file : "not found"});
  }
  *context.environment.out << table.ToString() << std::flush;
  if (is_missing) {
    *context.environment.err
        << "where a file was not found: " << std::string(kGetThem) << std::endl;
  }
  return kExitOk;
}

}  // namespace

void AddTasksCommand(CLI::App& app, CommandContext& context) {
  auto data = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("tasks", "List the tasks");
  command->add_option("--data", *data, "Folder of the JSONL files");
  command->callback([data, &context] {
    context.run = [data, &context] { return ListTasks(*data, context); };
  });
}

}  // namespace kvrecall
