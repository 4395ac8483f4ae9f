// Samples as lines of JSON; behind 0xFF, a template that they fill.

#include <fstream>
#include <string>

#include "common/longbench/jsonl.h"
#include "common/longbench/prompt.h"
#include "common/longbench/sample_json.h"
#include "common/longbench/unicode.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/scratch_file.h"
#include "tests/fuzz/target.h"

namespace kvrecall {
namespace {

bool SameChat(const Sample& a, const Sample& b) {
  if (a.messages.size() != b.messages.size()) return false;
  for (size_t i = 0; i < a.messages.size(); ++i)
    if (a.messages[i].role != b.messages[i].role ||
        a.messages[i].content != b.messages[i].content)
      return false;
  return true;
}

bool SameSample(const Sample& a, const Sample& b) {
  return a.id == b.id && a.dataset == b.dataset && a.input == b.input &&
         a.context == b.context && a.answers == b.answers &&
         a.length == b.length && a.language == b.language &&
         a.all_classes == b.all_classes && a.forced_text == b.forced_text &&
         a.fields == b.fields && SameChat(a, b);
}

void CheckText(std::string_view text) {
  Require(!FirstInvalidUtf8(text), "texts are UTF-8");
  Require(text.find('\0') == std::string_view::npos, "texts have no NUL");
}

void CheckSample(const Sample& sample, std::string_view prompt_template) {
  Require(!sample.id.empty(), "a sample has an id");
  Require(sample.length >= 0, "a length is not negative");
  for (const std::string* text : {&sample.id, &sample.dataset, &sample.input,
                                  &sample.context, &sample.language})
    CheckText(*text);
  for (const auto& [name, value] : sample.fields) {
    CheckText(name);
    CheckText(value);
  }
  const absl::StatusOr<std::string> stored = SampleToJson(sample);
  Require(stored.ok(), "what is read can be kept");
  const absl::StatusOr<Sample> again = ParseSample(*stored);
  Require(again.ok() && SameSample(*again, sample), "what is kept is the same");
  const absl::StatusOr<std::string> prompt =
      FillOwnTemplate(prompt_template, sample);
  if (!FirstInvalidUtf8(prompt_template)) RequireReadable(prompt.status());
}

void CheckFile(std::string_view text, SampleSchema schema) {
  static ScratchFile file("fuzz_jsonl");
  file.Write(text);
  const auto samples = ReadSamples(file.path(), "samples.jsonl", schema);
  RequireReadable(samples.status());
  if (samples.ok()) Require(!samples->empty(), "a file has samples");
  RequireReadable(ReadTexts(file.path()).status());
}

}  // namespace

void FuzzJsonl(std::string_view input) {
  InputBytes bytes(input);
  const std::string_view text = bytes.Part();
  const std::string_view prompt_template = bytes.Rest();
  for (const SampleSchema schema :
       {SampleSchema::kLongBench, SampleSchema::kFree}) {
    const absl::StatusOr<Sample> sample = ParseSample(text, schema);
    RequireReadable(sample.status());
    if (sample.ok()) CheckSample(*sample, prompt_template);
    CheckFile(text, schema);
  }
}

}  // namespace kvrecall
