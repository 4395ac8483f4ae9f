#pragma once

// LongBench's files as text for people. Thread-safe: no shared state.

#include <string>
#include <string_view>
#include <vector>

#include "client/data/import.h"
#include "client/data/inventory.h"

namespace kvrecall {

// How a user gets LongBench's files, without a line end.
inline constexpr std::string_view kGetThem =
    "get LongBench's files with 'kvrecall-client data pull' or 'data add FILE'";

// A table of the files that are there, then the data sets without one and how
// to get them. Ends with a line feed.
std::string RenderInventory(const std::vector<DatasetFile>& files);

// A table of what was imported into `folder`, with a line that counts it. Ends
// with a line feed.
std::string RenderImport(const ImportResult& result, const std::string& folder);

// "skipped, …: a.jsonl, b.jsonl", a line without its end; the first few names
// and how many more. Empty where nothing was skipped.
std::string RenderSkipped(const std::vector<std::string>& skipped);

}  // namespace kvrecall
