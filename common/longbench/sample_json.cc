#include "common/longbench/sample_json.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace kvrecall {
namespace {

absl::Status BadSample(const Sample& sample, const char* what) {
  return absl::InvalidArgumentError(
      absl::StrCat("sample '", sample.id, "': ", what));
}

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

bool AnyHasNul(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (HasNul(text)) return true;
  }
  return false;
}

bool CustomHasNul(const Sample& sample) {
  for (const auto& [name, value] : sample.fields) {
    if (HasNul(name) || HasNul(value)) return true;
  }
  for (const ChatMessage& message : sample.messages) {
    if (HasNul(message.role) || HasNul(message.content)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string> SampleToJson(const Sample& sample) {
  if (sample.id.empty()) {
    return BadSample(sample, "has no id; every sample needs one");
  }
  if (sample.length < 0) return BadSample(sample, "its length is negative");
  if (HasNul(sample.id) || HasNul(sample.dataset) || HasNul(sample.input) ||
      HasNul(sample.context) || HasNul(sample.language) ||
      HasNul(sample.forced_text.value_or("")) || AnyHasNul(sample.answers) ||
      AnyHasNul(sample.all_classes) || CustomHasNul(sample)) {
    return BadSample(sample, "a text contains a NUL character");
  }
  nlohmann::ordered_json json = {{"_id", sample.id},
                                 {"dataset", sample.dataset},
                                 {"input", sample.input},
                                 {"context", sample.context},
                                 {"answers", sample.answers},
                                 {"length", sample.length},
                                 {"language", sample.language},
                                 {"all_classes", sample.all_classes}};
  if (sample.forced_text) json["forced_text"] = *sample.forced_text;
  if (!sample.fields.empty()) json["fields"] = sample.fields;
  for (const ChatMessage& message : sample.messages) {
    json["messages"].push_back(
        {{"role", message.role}, {"content", message.content}});
  }
  try {
    return json.dump();
  } catch (const nlohmann::json::exception&) {
    return BadSample(sample, "a text is not valid UTF-8");
  }
}

}  // namespace kvrecall
