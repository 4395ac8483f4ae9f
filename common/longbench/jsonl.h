#pragma once

// Reads samples in LongBench's JSONL schema: one JSON object a line. Thread-
// safe: no shared state.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "common/longbench/chat_message.h"

namespace kvrecall {

// One sample. All strings are well-formed UTF-8 without NUL.
struct Sample {
  // `_id`; if the line has none, 48 hexadecimal digits (as LongBench's) of the
  // SHA-256 over input, context and answers.
  std::string id;
  // The task's data set; empty if not given.
  std::string dataset;
  // The question. May be empty (LongBench's lcc has none).
  std::string input;
  std::string context;
  // References, any of which is right. Empty: the sample has no score.
  std::vector<std::string> answers;
  // LongBench's count, in words of context, input and answers (in characters
  // for Chinese); 0 if not given.
  int64_t length = 0;
  // As given ("en", "zh", "python", …); empty if not given.
  std::string language;
  // The classes of a classification task, else empty.
  std::vector<std::string> all_classes;
  // The continuation that a run with a forced text takes; a field of ours.
  std::optional<std::string> forced_text;
  // Of task "custom": what else a template may name, and a chat in place of the
  // template. Fields of ours.
  std::map<std::string, std::string> fields;
  std::vector<ChatMessage> messages;
  // Its place in the study that it belongs to, from 1; 0: not given. No part of
  // what the sample is, and in no file.
  int64_t ordinal = 0;
};

// What a line must have.
enum class SampleSchema {
  kLongBench,  // input, context and answers
  // None of them. A string or number under a name of its own is a field that a
  // template may name; numbers are kept as they are written.
  kFree,
};

// Reads one line. What `schema` requires must be there; the others may be
// missing or null. Unknown fields are ignored, or kept; of a repeated field the
// last counts, as in Python. INVALID_ARGUMENT with the reason (and the field's
// name) if the line is not such an object. Safe on arbitrary bytes.
absl::StatusOr<Sample> ParseSample(
    std::string_view line, SampleSchema schema = SampleSchema::kLongBench);

// Reads a whole file. Blank lines are skipped; a byte order mark and CR LF line
// ends are tolerated. All or nothing: the first bad line is returned as
// INVALID_ARGUMENT "file:line: reason", as is an id that two lines share, and a
// file without samples. NOT_FOUND, PERMISSION_DENIED or INVALID_ARGUMENT (a
// directory) if the file cannot be read.
absl::StatusOr<std::vector<Sample>> ReadSamples(
    const std::string& path, SampleSchema schema = SampleSchema::kLongBench);

// The same of a file that the user knows by another name: `shown` stands for
// the path in all messages about its content.
absl::StatusOr<std::vector<Sample>> ReadSamples(
    const std::string& path, const std::string& shown,
    SampleSchema schema = SampleSchema::kLongBench);

// Reads a file of lines with `_id` and `text`, both strings: the texts by id.
// Else as ReadSamples.
absl::StatusOr<std::map<std::string, std::string>> ReadTexts(
    const std::string& path);

}  // namespace kvrecall
