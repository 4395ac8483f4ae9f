#include "common/longbench/jsonl.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

#include "common/base/digest.h"
#include "common/base/one_line.h"
#include "common/base/read_file.h"
#include "common/base/status_macros.h"
#include "common/longbench/unicode.h"

namespace kvrecall {
namespace {

using Json = nlohmann::json;

constexpr size_t kDerivedIdLength = 48;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

absl::Status FieldError(const char* name, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat("field '", OneLine(name), "' ", std::string(problem)));
}

// The field, or nullptr if it is missing or null.
const Json* FindField(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::Status MissingField(const Json& object, const char* name,
                          const char* expected) {
  return FieldError(
      name, absl::StrCat(object.contains(name) ? "is null" : "is missing",
                         "; expected ", expected));
}

absl::StatusOr<std::string> AsString(const Json& value, const char* name,
                                     const char* expected) {
  if (!value.is_string()) {
    return FieldError(name,
                      absl::StrCat("holds a value of type ", value.type_name(),
                                   "; expected ", expected));
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) {
    return FieldError(name, "contains a NUL character");
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> AsStrings(const Json& value,
                                                   const char* name) {
  constexpr char kExpected[] = "a list of strings";
  if (!value.is_array()) {
    return FieldError(name, absl::StrCat("is of type ", value.type_name(),
                                         "; expected ", kExpected));
  }
  std::vector<std::string> strings;
  strings.reserve(value.size());
  for (const Json& element : value) {
    ASSIGN_OR_RETURN(std::string text, AsString(element, name, kExpected));
    strings.push_back(std::move(text));
  }
  return strings;
}

absl::StatusOr<std::string> RequiredString(const Json& object,
                                           const char* name) {
  const Json* field = FindField(object, name);
  if (field == nullptr) return MissingField(object, name, "a string");
  return AsString(*field, name, "a string");
}

absl::StatusOr<std::string> OptionalString(const Json& object,
                                           const char* name) {
  const Json* field = FindField(object, name);
  if (field == nullptr) return std::string();
  return AsString(*field, name, "a string");
}

absl::StatusOr<int64_t> OptionalCount(const Json& object, const char* name) {
  const Json* field = FindField(object, name);
  if (field == nullptr) return int64_t{0};
  // A non-negative literal is unsigned to the parser.
  if (!field->is_number_unsigned() ||
      field->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return FieldError(name, "is not a whole number from 0 to 2^63 - 1");
  }
  return field->get<int64_t>();
}

absl::StatusOr<std::map<std::string, std::string>> AsFields(const Json& value) {
  if (!value.is_object()) {
    return FieldError("fields",
                      absl::StrCat("is of type ", value.type_name(),
                                   "; expected an object of strings"));
  }
  std::map<std::string, std::string> fields;
  for (const auto& [name, text] : value.items()) {
    ASSIGN_OR_RETURN(fields[name], AsString(text, "fields", "strings"));
  }
  return fields;
}

absl::StatusOr<std::vector<ChatMessage>> AsMessages(const Json& value) {
  constexpr char kExpected[] = "a list of objects with role and content";
  if (!value.is_array() || value.empty()) {
    return FieldError("messages", absl::StrCat("is not ", kExpected));
  }
  std::vector<ChatMessage> messages;
  for (const Json& element : value) {
    if (!element.is_object() || !element.contains("role") ||
        !element.contains("content")) {
      return FieldError("messages", absl::StrCat("is not ", kExpected));
    }
    ChatMessage& message = messages.emplace_back();
    ASSIGN_OR_RETURN(message.role,
                     AsString(element["role"], "messages", "roles as strings"));
    ASSIGN_OR_RETURN(message.content, AsString(element["content"], "messages",
                                               "contents as strings"));
  }
  if (const absl::Status status = CheckMessages(messages); !status.ok()) {
    return FieldError("messages",
                      absl::StrCat("is no chat: ", status.message()));
  }
  return messages;
}

// The numbers with a fraction or an exponent that an object has under its
// names, letter for letter: of a parsed one only their values are known.
class NumbersAsWritten final : public nlohmann::json_sax<Json> {
 public:
  // `line`: a well-formed object.
  explicit NumbersAsWritten(std::string_view line) {
    Json::sax_parse(line.begin(), line.end(), this);
  }

  const std::string& at(const std::string& name) const {
    return numbers_.at(name);
  }

  bool number_float(double, const std::string& text) override {
    if (depth_ == 1) numbers_[name_] = text;
    return true;
  }
  bool key(std::string& name) override {
    if (depth_ == 1) name_ = name;
    return true;
  }
  bool start_object(size_t) override { return ++depth_ > 0; }
  bool start_array(size_t) override { return ++depth_ > 0; }
  bool end_object() override { return depth_-- > 0; }
  bool end_array() override { return depth_-- > 0; }
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(Json::binary_t&) override { return true; }
  bool parse_error(size_t, const std::string&,
                   const Json::exception&) override {
    return false;
  }

 private:
  std::map<std::string, std::string> numbers_;
  std::string name_;
  int depth_ = 0;
};

// Whatever the line has beside the fields of a Sample, as far as it is text.
absl::Status TakeOwnFields(std::string_view line, const Json& object,
                           std::map<std::string, std::string>& fields) {
  const NumbersAsWritten numbers(line);
  static constexpr std::string_view kOurs[] = {
      "_id",      "input",       "context",     "answers", "dataset", "length",
      "language", "all_classes", "forced_text", "fields",  "messages"};
  for (const auto& [name, value] : object.items()) {
    if (std::find(std::begin(kOurs), std::end(kOurs), name) != std::end(kOurs))
      continue;
    if (value.is_string()) {
      ASSIGN_OR_RETURN(fields[name], AsString(value, name.c_str(), "a string"));
    } else if (value.is_number()) {
      fields[name] = value.is_number_float() ? numbers.at(name) : value.dump();
    }
  }
  return absl::OkStatus();
}

std::string DerivedId(const Sample& sample) {
  Sha256 hash;
  hash.AddField(sample.input);
  hash.AddField(sample.context);
  for (const std::string& answer : sample.answers) hash.AddField(answer);
  for (const auto& [name, value] : sample.fields) {
    hash.AddField(name);
    hash.AddField(value);
  }
  for (const ChatMessage& message : sample.messages) {
    hash.AddField(message.role);
    hash.AddField(message.content);
  }
  return hash.HexDigest().substr(0, kDerivedIdLength);
}

// The parser's message without its prefix (which counts lines of its own) and
// without the text that it last read (which may be a whole context).
std::string Reason(const Json::exception& error) {
  std::string_view message = error.what();
  constexpr std::string_view kColumn = ", column ";
  size_t start = message.find("] ");
  start = start == std::string_view::npos ? 0 : start + 2;
  if (const size_t column = message.find(kColumn, start);
      column != std::string_view::npos) {
    const size_t colon = message.find(": ", column);
    if (colon != std::string_view::npos) start = colon + 2;
  }
  message.remove_prefix(start);
  return OneLine(message.substr(0, message.find("; last read")));
}

absl::StatusOr<Json> ParseObject(std::string_view line) {
  if (const size_t nul = line.find('\0'); nul != std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("embedded NUL at byte ", nul + 1));
  }
  if (const std::optional<size_t> bad = FirstInvalidUtf8(line)) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid UTF-8 at byte ", *bad + 1));
  }
  Json object;
  try {
    object = Json::parse(line.begin(), line.end());
  } catch (const Json::parse_error& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("invalid JSON at byte ", error.byte, ": ", Reason(error)));
  } catch (const Json::exception& error) {  // a number beyond double
    return absl::InvalidArgumentError(
        absl::StrCat("invalid JSON: ", Reason(error)));
  }
  if (!object.is_object()) {
    return absl::InvalidArgumentError(absl::StrCat("holds a value of type ",
                                                   object.type_name(),
                                                   "; expected a JSON object"));
  }
  return object;
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

absl::Status HoldsNothing(const std::string& path, const char* what) {
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": holds no ", what, "; expected one JSON object a line"));
}

// Gives each line of the file that is not blank to `read`, which returns the
// line's id. The first error ends it, with `shown` and line put before; an id
// that two lines share is one.
absl::Status ForEachLine(
    const std::string& path, const std::string& shown,
    absl::FunctionRef<absl::StatusOr<std::string>(std::string_view)> read) {
  ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path));
  std::string_view rest = text;
  if (rest.starts_with(kByteOrderMark)) {
    rest.remove_prefix(kByteOrderMark.size());
  }
  std::unordered_map<std::string, int64_t> line_of_id;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    if (IsBlank(line)) continue;
    const absl::StatusOr<std::string> id = read(line);
    if (!id.ok()) {
      const absl::string_view reason = id.status().message();
      return absl::Status(id.status().code(),
                          absl::StrCat(shown, ":", number, ": ", reason));
    }
    const auto [it, is_new] = line_of_id.try_emplace(*id, number);
    if (!is_new) {
      return absl::InvalidArgumentError(
          absl::StrCat(shown, ":", number, ": id '", OneLine(*id),
                       "' is that of line ", it->second, " already"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Sample> ParseSample(std::string_view line, SampleSchema schema) {
  ASSIGN_OR_RETURN(const Json object, ParseObject(line));
  Sample sample;
  const bool is_free = schema == SampleSchema::kFree;
  const auto text = is_free ? OptionalString : RequiredString;
  ASSIGN_OR_RETURN(sample.input, text(object, "input"));
  ASSIGN_OR_RETURN(sample.context, text(object, "context"));
  if (const Json* answers = FindField(object, "answers")) {
    ASSIGN_OR_RETURN(sample.answers, AsStrings(*answers, "answers"));
  } else if (!is_free) {
    return MissingField(object, "answers", "a list of strings");
  }
  ASSIGN_OR_RETURN(sample.dataset, OptionalString(object, "dataset"));
  ASSIGN_OR_RETURN(sample.length, OptionalCount(object, "length"));
  ASSIGN_OR_RETURN(sample.language, OptionalString(object, "language"));
  if (const Json* classes = FindField(object, "all_classes")) {
    ASSIGN_OR_RETURN(sample.all_classes, AsStrings(*classes, "all_classes"));
  }
  if (const Json* forced = FindField(object, "forced_text")) {
    ASSIGN_OR_RETURN(sample.forced_text,
                     AsString(*forced, "forced_text", "a string"));
  }
  if (const Json* fields = FindField(object, "fields")) {
    ASSIGN_OR_RETURN(sample.fields, AsFields(*fields));
  }
  if (const Json* messages = FindField(object, "messages")) {
    ASSIGN_OR_RETURN(sample.messages, AsMessages(*messages));
  }
  if (is_free) RETURN_IF_ERROR(TakeOwnFields(line, object, sample.fields));
  if (FindField(object, "_id") == nullptr) {
    sample.id = DerivedId(sample);
  } else {
    ASSIGN_OR_RETURN(sample.id, RequiredString(object, "_id"));
    if (sample.id.empty()) return FieldError("_id", "is empty");
  }
  return sample;
}

absl::StatusOr<std::vector<Sample>> ReadSamples(const std::string& path,
                                                SampleSchema schema) {
  return ReadSamples(path, path, schema);
}

absl::StatusOr<std::vector<Sample>> ReadSamples(const std::string& path,
                                                const std::string& shown,
                                                SampleSchema schema) {
  std::vector<Sample> samples;
  const auto read = [&](std::string_view line) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(Sample sample, ParseSample(line, schema));
    samples.push_back(std::move(sample));
    return samples.back().id;
  };
  RETURN_IF_ERROR(ForEachLine(path, shown, read));
  if (samples.empty()) return HoldsNothing(shown, "samples");
  return samples;
}

absl::StatusOr<std::map<std::string, std::string>> ReadTexts(
    const std::string& path) {
  std::map<std::string, std::string> texts;
  const auto read = [&](std::string_view line) -> absl::StatusOr<std::string> {
    ASSIGN_OR_RETURN(const Json object, ParseObject(line));
    ASSIGN_OR_RETURN(const std::string id, RequiredString(object, "_id"));
    ASSIGN_OR_RETURN(std::string text, RequiredString(object, "text"));
    texts.emplace(id, std::move(text));
    return id;
  };
  RETURN_IF_ERROR(ForEachLine(path, path, read));
  if (texts.empty()) return HoldsNothing(path, "texts");
  return texts;
}

}  // namespace kvrecall
