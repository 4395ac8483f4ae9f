#pragma once

// The rows that task.h's AllTasks is made of: without the LongBench-E variants,
// which differ from their tasks in name and samples only. Immutable.

#include <span>

#include "common/longbench/task.h"

namespace kvrecall {

std::span<const Task> TaskTable();

}  // namespace kvrecall
