#include "client/custom_samples.h"

#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/read_text.h"
#include "common/base/digest.h"
#include "common/base/status_macros.h"
#include "common/longbench/prompt.h"

namespace kvrecall {
namespace {

Sample SampleOf(std::string prompt) {
  constexpr size_t kIdLength = 16;
  Sample sample;
  sample.id = Sha256Hex(prompt).substr(0, kIdLength);
  sample.input = std::move(prompt);
  return sample;
}

absl::Status CheckSample(const Sample& sample,
                         const std::string& prompt_template) {
  if (!sample.messages.empty()) return absl::OkStatus();
  if (!prompt_template.empty())
    return FillOwnTemplate(prompt_template, sample).status();
  const char* lacks = nullptr;
  if (!sample.context.empty()) lacks = "has a context";
  if (sample.input.empty()) lacks = "has no input and no messages";
  if (lacks == nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "sample '", sample.id, "' ", lacks,
      "; say with --template what the prompt is, such as \"{context}\\n\\n"
      "{input}\""));
}

}  // namespace

absl::StatusOr<std::string> ReadTemplate(const std::string& given) {
  if (!given.starts_with('@')) return given;
  const std::string path = given.substr(1);
  if (path.empty())
    return absl::InvalidArgumentError(
        "--template @: name the file behind the @");
  if (path == "-")
    return absl::InvalidArgumentError(
        "--template @-: a template is read from a file");
  std::istringstream none;
  return ReadTextFrom(path, none);
}

absl::StatusOr<std::vector<Sample>> ReadCustomSamples(
    const CustomSource& source, const std::string& prompt_template,
    std::istream& standard_input) {
  std::vector<Sample> samples;
  if (!source.prompt.empty()) {
    ASSIGN_OR_RETURN(std::string text,
                     ReadTextFrom(source.prompt, standard_input));
    if (text.find('\0') != std::string::npos)
      return absl::InvalidArgumentError(
          absl::StrCat(source.prompt, ": holds a NUL character"));
    samples.push_back(SampleOf(std::move(text)));
  } else {
    ASSIGN_OR_RETURN(samples, ReadSamples(source.jsonl, SampleSchema::kFree));
  }
  for (const Sample& sample : samples)
    RETURN_IF_ERROR(CheckSample(sample, prompt_template));
  return samples;
}

}  // namespace kvrecall
