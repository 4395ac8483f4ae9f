#include "client/export/data_json.h"

namespace kvrecall {
namespace {

using Json = nlohmann::ordered_json;

Json FileToJson(const DatasetFile& file) {
  const bool there = !file.path.empty();
  const bool read = there && file.problem.empty();
  Json json;
  json["dataset"] = file.dataset;
  json["tasks"] = file.tasks;
  json["file"] = there ? Json(file.path) : Json();
  json["samples"] = read ? Json(file.samples) : Json();
  json["bytes"] = read ? Json(file.bytes) : Json();
  json["problem"] = file.problem.empty() ? Json() : Json(file.problem);
  return json;
}

}  // namespace

Json InventoryToJson(const std::vector<DatasetFile>& files) {
  Json json;
  json["datasets"] = Json::array();
  json["missing"] = Json::array();
  for (const DatasetFile& file : files) {
    json["datasets"].push_back(FileToJson(file));
    if (file.path.empty()) json["missing"].push_back(file.dataset);
  }
  return json;
}

}  // namespace kvrecall
